//! Any point that was not tried, each as likely as another.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::Method;
use crate::search::{history::History, space::Space};

pub(super) struct Random {
    rng: Pcg64Mcg,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Pcg64Mcg::seed_from_u64(seed) }
    }
}

impl Method for Random {
    fn ask(&mut self, _: &Space, history: &History) -> Option<usize> {
        history.any_untried(&mut self.rng)
    }
}
