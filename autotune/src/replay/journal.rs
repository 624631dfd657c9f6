//! The spaces that a tuner's own journal holds: each problem, with every time that any run took of it.

use dustin::profile::{Choice, Key, Provenance};

use super::recording::{Recording, RecordingError};
use crate::{
    journal::{Held, Record},
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
        let (number, candidate, us, timed) = match record {
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
            Record::Timed { problem, candidate, us } => (problem, candidate, us, true),
            Record::Checked { problem, candidate, us } => (problem, candidate, vec![us], false),
            Record::Failed { problem, candidate, .. } => (problem, candidate, Vec::new(), true),
            Record::Run { .. }
            | Record::Started { .. }
            | Record::Conditions { .. }
            | Record::Chosen { .. } => {
                continue;
            }
        };
        let Some((_, place)) = places.iter().rfind(|(known, _)| *known == number) else { continue };
        problems[*place].add(candidate, &us, timed);
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

    fn add(&mut self, choice: Choice, us: &[Option<f64>], timed: bool) {
        let place = self.choices.iter().position(|known| *known == choice).unwrap_or_else(|| {
            self.choices.push(choice);
            self.samples.push(Vec::new());
            self.glimpses.push(None);
            self.choices.len() - 1
        });
        let mut times = us.iter().flatten().filter(|time| **time > 0.0).map(|time| time / 1e3);
        if timed {
            self.samples[place].extend(times);
        } else {
            self.glimpses[place] = times.next_back().or(self.glimpses[place]);
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
