//! What journals hold of each bucket: the candidates that were tried, and what came of each.

use std::collections::{HashMap, HashSet};

use dustin::profile::{Choice, Key};

use crate::{
    journal::Record,
    search::{Estimate, median},
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
                    self.tell(keys.get(&problem), candidate, |tried| tried.glimpse = us.or(tried.glimpse));
                }
                Record::Timed { problem, candidate, us } => {
                    self.tell(keys.get(&problem), candidate, |tried| tried.times.extend(us.iter().flatten()));
                }
                Record::Failed { problem, candidate, reason } => {
                    self.tell(keys.get(&problem), candidate, |tried| tried.failed = Some(reason));
                }
                Record::Chosen { problem, seconds, .. } => {
                    if let Some(key) = keys.get(&problem) {
                        self.0.entry(key.clone()).or_default().seconds += seconds;
                    }
                }
                _ => {}
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
