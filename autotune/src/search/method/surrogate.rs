//! Bayesian optimisation around the incumbents: a Gaussian process over the logarithm of times says which of the
//! incumbents' neighbours, and of some points from anywhere, promises the largest gain.
//!
//! After a few random points, each trial is the candidate with the largest expected improvement (Jones, Schonlau and
//! Welch, 1998). A slow time tells little about fast ones, but a process of one deviation would bend to reach it: times
//! above the third quartile count as that quartile, and so do failures.

use std::{
    collections::HashMap,
    f64::consts::{FRAC_1_SQRT_2, PI},
};

use rand::{SeedableRng, seq::IndexedRandom};
use rand_pcg::Pcg64Mcg;

use super::{
    Method,
    gaussian::{Kernel, Process},
};
use crate::search::{
    history::{History, Trial},
    space::Space,
};

/// Random points before the first that is chosen.
const START: usize = 10;

/// The fastest points, whose neighbours are candidates.
const INCUMBENTS: usize = 8;

/// Candidates from anywhere.
const ANYWHERE: usize = 200;

/// The kernel is fitted anew when the trials have grown by this factor.
const GROWTH: f64 = 1.3;

/// The most trials that a kernel is fitted to.
const FITTED: usize = 100;

pub(super) struct Surrogate {
    rng: Pcg64Mcg,
    model: Option<Model>,
}

/// What was learnt, and what is kept from step to step because most of it stays the same.
struct Model {
    process: Process,
    /// Trials with which the kernel is fitted anew.
    refit: usize,
    /// Candidates from anywhere.
    anywhere: Vec<usize>,
    /// What the process keeps of each candidate.
    columns: HashMap<usize, Vec<f64>>,
}

impl Surrogate {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Pcg64Mcg::seed_from_u64(seed), model: None }
    }

    /// The model of all trials: the last one extended, or a new one where the trials have grown enough.
    fn model(&mut self, space: &Space, history: &History, targets: &[f64]) -> &mut Model {
        let trials = history.trials();
        let inputs: Vec<&[f64]> = trials.iter().map(|trial| space.coordinates(trial.point)).collect();
        let kernel = match self.model.take() {
            Some(mut model) if trials.len() < model.refit => {
                model.process.see(&inputs, targets);
                return self.model.insert(model);
            }
            Some(model) => model.process.into_kernel(),
            None => Kernel::new(inputs.first().map_or(0, |input| input.len())),
        };
        let kernel = kernel.fitted(&subsample(&inputs), &subsample(targets));
        let anywhere = history.untried().sample(&mut self.rng, ANYWHERE).copied().collect();
        self.model.insert(Model {
            process: Process::new(kernel, &inputs, targets),
            refit: (trials.len() as f64 * GROWTH) as usize + 1,
            anywhere,
            columns: HashMap::new(),
        })
    }
}

impl Method for Surrogate {
    fn ask(&mut self, space: &Space, history: &History) -> Option<usize> {
        let ranked = history.ranked();
        if history.trials().len() < START || ranked.is_empty() {
            return history.any_untried(&mut self.rng);
        }
        let targets = targets(history, &ranked);
        let least = ranked[0].1.ln();
        let Model { process, anywhere, columns, .. } = self.model(space, history, &targets);
        let mut candidates: Vec<usize> = (ranked.iter().take(INCUMBENTS))
            .flat_map(|(point, _)| space.neighbours(*point))
            .chain(anywhere.iter().copied())
            .filter(|&point| !history.tried(point))
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        let mut promise = |point: usize| {
            let column = columns.entry(point).or_default();
            let (mean, deviation) = process.predict(space.coordinates(point), column);
            expected_improvement(least, mean, deviation)
        };
        let promising = (candidates.iter())
            .map(|&point| (promise(point), point))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        match promising {
            Some((_, point)) => Some(point),
            None => history.any_untried(&mut self.rng),
        }
    }
}

/// What the process learns of each trial: the logarithm of its time, at most that of the third quartile.
fn targets(history: &History, ranked: &[(usize, f64)]) -> Vec<f64> {
    let ceiling = ranked[(ranked.len() - 1) * 3 / 4].1;
    let target = |trial: &Trial| trial.time.map_or(ceiling, |time| time.min(ceiling)).ln();
    history.trials().iter().map(target).collect()
}

/// At most as many of `items` as a kernel is fitted to, equally spaced from the first on.
fn subsample<T: Copy>(items: &[T]) -> Vec<T> {
    let count = items.len().min(FITTED);
    (0..count).map(|index| items[index * items.len() / count]).collect()
}

/// How far below `least` a normally distributed value is expected to fall, values above counting as none.
fn expected_improvement(least: f64, mean: f64, deviation: f64) -> f64 {
    let z = (least - mean) / deviation;
    let below = 0.5 * libm::erfc(-z * FRAC_1_SQRT_2);
    let density = (-z * z / 2.0).exp() / (2.0 * PI).sqrt();
    deviation * (z * below + density)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_improvement_expected_grows_with_the_gain_and_with_the_doubt() {
        let known = expected_improvement(1.0, 0.0, 1e-6);
        assert!((known - 1.0).abs() < 1e-6, "{known}");
        let even = expected_improvement(0.0, 0.0, 1.0);
        assert!((even - 0.398_942_28).abs() < 1e-6, "{even}");
        assert!(expected_improvement(0.0, 1.0, 2.0) > expected_improvement(0.0, 1.0, 1.0));
        assert!(expected_improvement(0.0, 1.0, 0.2) > 0.0);
    }

    #[test]
    fn a_kernel_is_fitted_to_trials_from_the_whole_search() {
        let items: Vec<usize> = (0..1000).collect();
        let chosen = subsample(&items);
        assert_eq!((chosen.len(), chosen[0], chosen[FITTED - 1]), (FITTED, 0, 990));
        assert_eq!(subsample(&items[..7]), items[..7]);
    }

    #[test]
    fn failures_count_as_slow() {
        let mut history = History::new(6);
        for (point, time) in [(0, Some(1.0)), (1, Some(2.0)), (2, Some(3.0)), (3, Some(9.0)), (4, None)] {
            history.tell(point, time);
        }
        let targets: Vec<f64> = targets(&history, &history.ranked()).into_iter().map(f64::exp).collect();
        let expected = [1.0, 2.0, 3.0, 3.0, 3.0];
        assert!(targets.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{targets:?}");
    }
}
