//! Iterated local search: from a random start to the first better neighbour, until there is none.

use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

use super::Method;
use crate::search::{history::History, space::Space};

pub(super) struct Local {
    rng: Pcg64Mcg,
    /// Where the search stands, and its time; nothing before a start.
    here: Option<(usize, f64)>,
    /// Neighbours of that point that are still to be tried, the next one last.
    ahead: Vec<usize>,
    /// Trials that were taken into account.
    read: usize,
}

impl Local {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Pcg64Mcg::seed_from_u64(seed), here: None, ahead: Vec::new(), read: 0 }
    }
}

impl Method for Local {
    fn ask(&mut self, space: &Space, history: &History) -> Option<usize> {
        for trial in &history.trials()[self.read..] {
            if let Some(time) = trial.time
                && self.here.is_none_or(|(_, best)| time < best)
            {
                self.here = Some((trial.point, time));
                self.ahead = space.neighbours(trial.point);
                self.ahead.shuffle(&mut self.rng);
            }
        }
        self.read = history.trials().len();
        while let Some(next) = self.ahead.pop() {
            if !history.tried(next) {
                return Some(next);
            }
        }
        self.here = None;
        history.any_untried(&mut self.rng)
    }
}
