//! What journals hold of each bucket: the candidates that were tried, and what came of each.

use std::collections::{HashMap, HashSet};

use dustin::profile::{Choice, Key};

use crate::{
    journal::Record,
    search::{Conditions, Estimate, believed, is_time, median},
};

/// The measured spaces of the buckets of a profile.
#[derive(Debug, Default)]
pub(crate) struct Spaces(HashMap<Key, Space>);

/// What was measured of one bucket.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// The candidates, in the order in which they were tried.
    pub(super) tried: Vec<Tried>,
    /// How long they were searched.
    pub(super) seconds: f64,
    /// The most bytes of the device's memory that were in use, where that is known.
    pub(super) memory: Option<u64>,
    /// What the device was like in the finals.
    pub(super) conditions: Vec<Conditions>,
}

/// A candidate that was tried.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// Variant and launch parameters.
    pub(super) choice: Choice,
    /// About how long the run took by which it was checked, in microseconds, where that tells anything.
    glimpse: Option<f64>,
    /// Its times in microseconds.
    times: Vec<f64>,
    /// Why it cannot serve.
    pub(super) failed: Option<String>,
}

impl Tried {
    const fn new(choice: Choice) -> Self {
        Self { choice, glimpse: None, times: Vec::new(), failed: None }
    }

    /// Adds times. Earlier builds have written such as are none, too, and rejected the candidate without a word.
    fn time(&mut self, us: &[Option<f64>]) {
        match believed(us.iter().map(|us| us.unwrap_or(f64::NAN)).collect()) {
            Ok(times) => self.times.extend(times),
            Err(failure) => self.failed = Some(failure.to_string()),
        }
    }

    /// Its time in microseconds, as far as one is known: the median, or that of the run by which it was checked.
    pub(super) fn us(&self) -> Option<f64> {
        if self.failed.is_some() { None } else { median(&self.times).or(self.glimpse) }
    }

    /// Whether it was repeated, and not given up after its first repetition.
    pub(super) fn whole(&self) -> bool {
        self.times.len() > 1
    }

    /// The 95 % confidence interval of its median, where there are enough times.
    pub(super) fn interval(&self) -> Option<[f64; 2]> {
        let estimate = Estimate::of(&self.times).filter(|estimate| estimate.samples >= 6)?;
        Some([estimate.low, estimate.high])
    }
}

impl Spaces {
    /// Adds what a journal holds: of each bucket what the last run has measured that came to it, and those that this run
    /// went on with.
    pub(crate) fn add(&mut self, records: Vec<Record>) {
        let mut keys: HashMap<u32, Key> = HashMap::new();
        let mut fresh: HashSet<Key> = HashSet::new();
        for record in records {
            match record {
                Record::Run { resumed: false, .. } => fresh.clear(),
                Record::Problem { number, subject, .. } => {
                    if fresh.insert(subject.key.clone()) {
                        self.0.remove(&subject.key);
                    }
                    keys.insert(number, subject.key);
                }
                Record::Checked { problem, candidate, us } => {
                    let us = us.filter(|us| is_time(*us));
                    self.tell(keys.get(&problem), candidate, |tried| tried.glimpse = us.or(tried.glimpse));
                }
                Record::Timed { problem, candidate, us } => {
                    self.tell(keys.get(&problem), candidate, |tried| tried.time(&us));
                }
                Record::Failed { problem, candidate, reason } => {
                    self.tell(keys.get(&problem), candidate, |tried| tried.failed = Some(reason));
                }
                Record::Conditions { problem, now } => {
                    if let Some(key) = keys.get(&problem) {
                        self.0.entry(key.clone()).or_default().conditions.push(now);
                    }
                }
                Record::Chosen { problem, seconds, memory, .. } => {
                    if let Some(key) = keys.get(&problem) {
                        let space = self.0.entry(key.clone()).or_default();
                        space.seconds += seconds;
                        space.memory = space.memory.max(memory);
                    }
                }
                Record::Run { resumed: true, .. } | Record::Started { .. } | Record::Confirmed { .. } => {}
            }
        }
    }

    /// What was tried for the bucket of `key`.
    pub(super) fn of(&self, key: &Key) -> Option<&Space> {
        self.0.get(key)
    }

    /// How long was searched in all, in seconds, as far as that is known.
    pub(super) fn seconds(&self) -> Option<f64> {
        let seconds: f64 = self.0.values().map(|space| space.seconds).sum();
        (seconds > 0.0).then_some(seconds)
    }

    /// The most bytes of the device's memory that were in use, as far as that is known.
    pub(super) fn memory(&self) -> Option<u64> {
        self.0.values().filter_map(|space| space.memory).max()
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn tell(&mut self, key: Option<&Key>, choice: Choice, tell: impl FnOnce(&mut Tried)) {
        // Without a problem it is a line of a file that was damaged.
        let Some(key) = key else { return };
        let space = &mut self.0.entry(key.clone()).or_default().tried;
        let place = space.iter().position(|tried| tried.choice == choice).unwrap_or_else(|| {
            space.push(Tried::new(choice));
            space.len() - 1
        });
        tell(&mut space[place]);
    }
}

#[cfg(test)]
mod tests {
    use dustin::profile::{DeviceId, Launch, Policy, Provenance};
    use dustin_autotune::workload::named;

    use super::*;
    use crate::journal::Subject;

    fn key() -> Key {
        Key::of(&named("w1").unwrap().problem, &DeviceId::gpu("any", 9, 0), Policy::default())
    }

    fn candidate(variant: &str) -> Choice {
        Choice { variant: variant.into(), revision: 1, ptx_digest: None, launch: Launch::default() }
    }

    fn run(resumed: bool) -> Record {
        Record::Run { date: String::new(), resumed, boot: None }
    }

    fn problem(number: u32) -> Record {
        let provenance = Provenance::unknown(DeviceId::gpu("any", 9, 0));
        Record::Problem { number, subject: Box::new(Subject::new(&provenance, &key(), 1)), near: None }
    }

    fn timed(problem: u32, variant: &str, us: &[f64]) -> Record {
        let us = us.iter().map(|&us| Some(us)).collect();
        Record::Timed { problem, candidate: candidate(variant), us }
    }

    fn told(records: Vec<Record>) -> Vec<(String, Option<f64>)> {
        let mut spaces = Spaces::default();
        spaces.add(records);
        let tried = spaces.of(&key()).map_or(&[][..], |space| &space.tried);
        tried.iter().map(|tried| (tried.choice.variant.clone(), tried.us())).collect()
    }

    #[test]
    fn the_last_run_counts_with_those_that_it_resumed() {
        let old = [run(false), problem(0), timed(0, "old", &[1.0])];
        let new = [
            run(false),
            problem(1),
            timed(1, "a", &[4.0]),
            run(true),
            problem(2),
            timed(2, "a", &[2.0, 3.0]),
        ];
        assert_eq!(told(old.iter().chain(&new).cloned().collect()), [("a".into(), Some(3.0))]);
        // A later run of other problems takes nothing away.
        assert_eq!(told(old.into_iter().chain([run(false)]).collect()), [("old".into(), Some(1.0))]);
    }

    #[test]
    fn a_candidate_that_failed_has_no_time_and_one_given_up_has_that_of_its_check() {
        let failed = Record::Failed { problem: 0, candidate: candidate("a"), reason: "NaN".into() };
        let checked = Record::Checked { problem: 0, candidate: candidate("b"), us: Some(90.0) };
        let records = vec![run(false), problem(0), timed(0, "a", &[1.0, 1.0]), failed, checked];
        assert_eq!(told(records), [("a".into(), None), ("b".into(), Some(90.0))]);
        assert_eq!(told(vec![timed(7, "of no problem", &[1.0])]), []);
    }

    #[test]
    fn times_that_are_none_are_failures_and_leave_the_others_as_they_are() {
        for bad in [Some(-1.0), Some(0.0), None] {
            let line = Record::Timed { problem: 0, candidate: candidate("bad"), us: vec![Some(2.0), bad] };
            let checked = Record::Checked { problem: 0, candidate: candidate("b"), us: Some(-90.0) };
            let records = vec![run(false), problem(0), line, timed(0, "a", &[3.0]), checked];
            assert_eq!(told(records), [("bad".into(), None), ("a".into(), Some(3.0)), ("b".into(), None)]);
        }
    }
}
