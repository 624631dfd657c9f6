//! How sure a recovery rate is: percentile bootstrap over prompts.
//!
//! Prompts are what differs between the calibration data and what a model is going to be asked, so they are what is drawn anew; steps,
//! layers and heads of a prompt stay together.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// How a bound is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// The probability with which the bound holds, above 0.5 and below 1: 0.95.
    pub confidence: f64,
    /// Draws of as many prompts as there are.
    pub resamples: u32,
    /// Where the draws begin.
    pub seed: u64,
}

impl Default for Bound {
    fn default() -> Self {
        Self { confidence: 0.95, resamples: 4000, seed: 0 }
    }
}

/// A lower bound of the mean of `rates`, one for each prompt. Nothing for fewer than two prompts, which say nothing of others.
#[must_use]
pub fn lower_bound_of_mean(rates: &[f64], bound: Bound) -> Option<f64> {
    lower(rates.len(), bound, |drawn| {
        drawn.iter().map(|&prompt| rates[prompt]).sum::<f64>() / drawn.len() as f64
    })
}

/// A lower bound of the share that `candidate` has of `full`, the quotient of their means: rates on the same prompts, in the same order.
/// Nothing for fewer than two prompts, for different numbers of them, or if the full rates are 0.
#[must_use]
pub fn lower_bound_of_share(candidate: &[f64], full: &[f64], bound: Bound) -> Option<f64> {
    if candidate.len() != full.len() {
        return None;
    }
    let sum = |rates: &[f64], drawn: &[usize]| drawn.iter().map(|&prompt| rates[prompt]).sum::<f64>();
    lower(full.len(), bound, |drawn| sum(candidate, drawn) / sum(full, drawn))
}

/// The quantile of `statistic` over draws of `prompts` prompts that it exceeds with the confidence asked for.
fn lower(prompts: usize, bound: Bound, statistic: impl Fn(&[usize]) -> f64) -> Option<f64> {
    if prompts < 2 || bound.resamples == 0 {
        return None;
    }
    let mut rng = Pcg64Mcg::seed_from_u64(bound.seed);
    let mut drawn = vec![0; prompts];
    let mut values: Vec<f64> = (0..bound.resamples)
        .map(|_| {
            drawn.fill_with(|| rng.random_range(0..prompts));
            statistic(&drawn)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let below = ((1.0 - bound.confidence) * values.len() as f64) as usize;
    values.get(below).copied().filter(|value| value.is_finite())
}
