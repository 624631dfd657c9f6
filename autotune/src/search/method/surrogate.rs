//! Bayesian optimisation around the incumbents: a Gaussian process over the logarithm of times says which of the
//! incumbents' neighbours, and of some points from anywhere, promises the largest gain.
//!
//! After a few random points, each trial is the candidate with the largest expected improvement (Jones, Schonlau and
//! Welch, 1998). A slow time tells little about fast ones, but a process of one deviation would bend to reach it: times
//! above the third quartile count as that quartile, and so do failures.

use std::{
    collections::{HashMap, HashSet},
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

/// The most trials that a new model sees, and how many more before there is another: what it keeps and computes grows with the square.
const SEEN: usize = 1_000;
const MORE: usize = 300;

pub(super) struct Surrogate {
    rng: Pcg64Mcg,
    model: Option<Model>,
}

/// What was learnt, and what is kept from step to step because most of it stays the same.
struct Model {
    process: Process,
    /// The trials that it saw when it was made; those that came later follow.
    seen: Vec<usize>,
    /// How many there were then.
    made: usize,
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

    /// The model of the trials: the last one extended, or a new one where the trials have grown enough.
    fn model(&mut self, space: &Space, history: &History, ranked: &[(usize, f64)]) -> &mut Model {
        let trials = history.trials();
        let ceiling = ceiling(ranked);
        let place = |trial: usize| space.coordinates(trials[trial].point);
        let target = |trial: usize| target(&trials[trial], ceiling);
        let kernel = match self.model.take() {
            Some(mut model) if trials.len() < model.refit => {
                let seen = model.seen.iter().copied().chain(model.made..trials.len());
                let (inputs, targets): (Vec<&[f64]>, Vec<f64>) =
                    seen.map(|trial| (place(trial), target(trial))).unzip();
                model.process.see(&inputs, &targets);
                return self.model.insert(model);
            }
            Some(model) => model.process.into_kernel(),
            None => Kernel::new(place(0).len()),
        };
        let seen = telling(trials, ranked);
        let (inputs, targets): (Vec<&[f64]>, Vec<f64>) =
            seen.iter().map(|&trial| (place(trial), target(trial))).unzip();
        let kernel = kernel.fitted(&subsample(&inputs, FITTED), &subsample(&targets, FITTED));
        let anywhere = history.untried().sample(&mut self.rng, ANYWHERE).copied().collect();
        self.model.insert(Model {
            process: Process::new(kernel, &inputs, &targets),
            seen,
            made: trials.len(),
            refit: (trials.len() as f64 * GROWTH).min((trials.len() + MORE) as f64) as usize + 1,
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
        let least = ranked[0].1.ln();
        let Model { process, anywhere, columns, .. } = self.model(space, history, &ranked);
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

/// What the process learns of a trial: the logarithm of its time, at most that of the third quartile.
fn target(trial: &Trial, ceiling: f64) -> f64 {
    trial.time.map_or(ceiling, |time| time.min(ceiling)).ln()
}

/// The third quartile of the times.
fn ceiling(ranked: &[(usize, f64)]) -> f64 {
    ranked[(ranked.len() - 1) * 3 / 4].1
}

/// The numbers of the trials that a new model sees, ascending: all of them, or the fastest and as many of the others.
fn telling(trials: &[Trial], ranked: &[(usize, f64)]) -> Vec<usize> {
    if trials.len() <= SEEN {
        return (0..trials.len()).collect();
    }
    let fastest: HashSet<usize> = ranked.iter().take(SEEN / 2).map(|(point, _)| *point).collect();
    let (mut seen, others): (Vec<usize>, Vec<usize>) =
        (0..trials.len()).partition(|&trial| fastest.contains(&trials[trial].point));
    seen.extend(subsample(&others, SEEN - seen.len()));
    seen.sort_unstable();
    seen
}

/// At most so many of `items`, equally spaced from the first on.
fn subsample<T: Copy>(items: &[T], most: usize) -> Vec<T> {
    let count = items.len().min(most);
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
        let chosen = subsample(&items, FITTED);
        assert_eq!((chosen.len(), chosen[0], chosen[FITTED - 1]), (FITTED, 0, 990));
        assert_eq!(subsample(&items[..7], FITTED), items[..7]);
    }

    #[test]
    fn of_many_trials_a_model_sees_the_fastest_and_some_of_the_others() {
        let mut history = History::new(5 * SEEN);
        for point in 0..3 * SEEN {
            history.tell(point, Some((3 * SEEN - point) as f64));
        }
        let seen = telling(history.trials(), &history.ranked());
        assert_eq!(seen.len(), SEEN);
        assert!(seen.is_sorted());
        assert!(
            seen.ends_with(&(3 * SEEN - SEEN / 2..3 * SEEN).collect::<Vec<_>>()),
            "the fastest came last"
        );
        assert_eq!(seen[0], 0);
        history.tell(3 * SEEN, None);
        assert_eq!(telling(&history.trials()[..SEEN], &history.ranked()), (0..SEEN).collect::<Vec<_>>());
    }

    #[test]
    fn failures_count_as_slow() {
        let mut history = History::new(6);
        for (point, time) in [(0, Some(1.0)), (1, Some(2.0)), (2, Some(3.0)), (3, Some(9.0)), (4, None)] {
            history.tell(point, time);
        }
        let ceiling = ceiling(&history.ranked());
        let targets = history.trials().iter().map(|trial| target(trial, ceiling).exp());
        for (target, expected) in targets.zip([1.0, 2.0, 3.0, 3.0, 3.0]) {
            assert!((target - expected).abs() < 1e-12, "{target}");
        }
    }
}
