//! The spaces that a tuner's own journal holds: each problem, with every time that any run took of it.

use dustin::profile::{Choice, Key, Provenance};

use super::recording::{Recording, RecordingError};
use crate::{
    journal::{Held, Record},
    search::{believed, is_time},
    task,
};

/// What a journal holds of one problem.
struct Measured {
    provenance: Provenance,
    key: Key,
    choices: Vec<Choice>,
    /// Of each choice, in milliseconds.
    samples: Vec<Vec<f64>>,
    /// The same of those that were slow when they were checked, and so were never timed.
    glimpses: Vec<Option<f64>>,
}

/// What a record tells of a candidate, in microseconds.
enum Told {
    Times(Vec<Option<f64>>),
    Glimpse(Option<f64>),
    Failure,
}

/// Whether these are the bytes of a journal rather than of a table.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

/// The recordings in the bytes of the journal `file`, one for each problem of which anything was timed. What cannot be read is
/// passed over, as it is when a run is resumed.
///
/// # Errors
/// Nothing was timed.
pub(super) fn recordings(bytes: &[u8], file: &str) -> Result<Vec<Recording>, RecordingError> {
    let mut problems: Vec<Measured> = Vec::new();
    // Where the problem of each number stands among them.
    let mut places: Vec<(u32, usize)> = Vec::new();
    for record in Held::of(bytes).records {
        let (number, candidate, told) = match record {
            Record::Problem { number, subject, .. } => {
                let same =
                    |known: &Measured| known.provenance == subject.provenance && known.key == subject.key;
                let place = problems.iter().position(same).unwrap_or_else(|| {
                    problems.push(Measured::new(subject.provenance.clone(), subject.key.clone()));
                    problems.len() - 1
                });
                places.push((number, place));
                continue;
            }
            Record::Timed { problem, candidate, us } => (problem, candidate, Told::Times(us)),
            Record::Checked { problem, candidate, us } => (problem, candidate, Told::Glimpse(us)),
            Record::Failed { problem, candidate, .. } => (problem, candidate, Told::Failure),
            Record::Run { .. }
            | Record::Started { .. }
            | Record::Confirmed { .. }
            | Record::Conditions { .. }
            | Record::Chosen { .. } => {
                continue;
            }
        };
        let Some((_, place)) = places.iter().rfind(|(known, _)| *known == number) else { continue };
        problems[*place].add(candidate, told);
    }
    let found: Vec<Recording> = problems.into_iter().filter_map(Measured::recording).collect();
    if found.is_empty() {
        return Err(RecordingError::Untimed { file: file.into() });
    }
    Ok(found)
}

impl Measured {
    fn new(provenance: Provenance, key: Key) -> Self {
        Self { provenance, key, choices: Vec::new(), samples: Vec::new(), glimpses: Vec::new() }
    }

    fn add(&mut self, choice: Choice, told: Told) {
        let place = self.choices.iter().position(|known| *known == choice).unwrap_or_else(|| {
            self.choices.push(choice);
            self.samples.push(Vec::new());
            self.glimpses.push(None);
            self.choices.len() - 1
        });
        let milliseconds = |us: f64| us / 1e3;
        match told {
            Told::Times(us) => {
                let us = us.into_iter().map(|us| us.unwrap_or(f64::NAN)).collect();
                self.samples[place].extend(believed(us).into_iter().flatten().map(milliseconds));
            }
            Told::Glimpse(us) => {
                let us = us.filter(|us| is_time(*us)).map(milliseconds);
                self.glimpses[place] = us.or(self.glimpses[place]);
            }
            // However fast it was, it cannot serve.
            Told::Failure => (self.samples[place], self.glimpses[place]) = (Vec::new(), None),
        }
    }

    fn recording(mut self) -> Option<Recording> {
        for (samples, glimpse) in self.samples.iter_mut().zip(&self.glimpses) {
            if samples.is_empty() {
                samples.extend(glimpse);
            }
        }
        Recording::new(task::name(&self.key), task::space(self.choices.iter()), self.samples)
    }
}

#[cfg(test)]
mod tests {
    use dustin::profile::{DeviceId, Launch, Policy};
    use dustin_autotune::workload::named;

    use super::*;
    use crate::journal::Subject;

    #[test]
    fn a_candidate_that_failed_after_it_was_timed_and_times_that_are_none_are_no_samples() {
        let device = DeviceId::gpu("any", 9, 0);
        let key = Key::of(&named("w1").unwrap().problem, &device, Policy::default());
        let subject = Box::new(Subject::new(&Provenance::unknown(device), &key, 1));
        let candidate = |splits| {
            let launch = Launch { splits: Some(splits), ..Launch::default() };
            Choice { variant: "v".into(), revision: 1, ptx_digest: None, launch }
        };
        let timed = |splits, us| Record::Timed { problem: 0, candidate: candidate(splits), us };
        let records = [
            Record::Problem { number: 0, subject, near: None },
            timed(1, vec![Some(1000.0)]),
            Record::Failed { problem: 0, candidate: candidate(1), reason: "wrong as it is timed".into() },
            timed(2, vec![Some(2000.0), Some(4000.0)]),
            timed(2, vec![Some(1.0), Some(-1.0)]),
            timed(4, vec![None]),
            Record::Checked { problem: 0, candidate: candidate(8), us: Some(-9.0) },
        ];
        let lines: Vec<String> =
            records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        let text = lines.join("\n") + "\n";
        let recording = recordings(text.as_bytes(), "a.journal").unwrap().remove(0);
        assert_eq!(recording.samples, [vec![], vec![2.0, 4.0], vec![], vec![]]);
    }
}
