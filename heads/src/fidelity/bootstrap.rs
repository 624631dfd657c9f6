//! How sure a figure is: the studentised bootstrap over prompts (bootstrap-t).
//!
//! Prompts are what differs between the calibration data and what a model is going to be asked, so they are what is drawn anew; steps,
//! layers and heads of a prompt stay together. What is drawn is the mean's distance from the truth in units of its own standard error:
//! with few prompts, that error is itself uncertain, which the percentiles of means leave out.

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

/// A lower bound of the mean of `rates`, one for each prompt. Nothing for fewer than two
/// prompts, which say nothing of others.
#[must_use]
pub fn lower_bound_of_mean(rates: &[f64], bound: Bound) -> Option<f64> {
    lower(rates.iter().map(|&rate| (rate, 1.0)).collect(), bound)
}

/// An upper bound of the mean of `errors`, one for each prompt. Nothing for fewer than two
/// prompts, which say nothing of others.
#[must_use]
pub fn upper_bound_of_mean(errors: &[f64], bound: Bound) -> Option<f64> {
    lower(errors.iter().map(|&error| (-error, 1.0)).collect(), bound).map(|lower| -lower)
}

/// A lower bound of the share that `candidate` has of `full`, the quotient of their means: rates on the same prompts, in the same order.
/// Nothing for fewer than two prompts, which say nothing of others, for different numbers of them, or if the full rates are 0.
#[must_use]
pub fn lower_bound_of_share(candidate: &[f64], full: &[f64], bound: Bound) -> Option<f64> {
    if candidate.len() != full.len() {
        return None;
    }
    lower(candidate.iter().copied().zip(full.iter().copied()).collect(), bound)
}

/// The lower bound of the quotient of the means of `pairs`, no less than the least of their quotients: prompts that are nearly all alike
/// are often drawn without the one that differs, which says nothing of their error.
fn lower(pairs: Vec<(f64, f64)>, bound: Bound) -> Option<f64> {
    if pairs.len() < 2 || bound.resamples == 0 {
        return None;
    }
    let [quotient, error] = estimate(pairs.iter().copied());
    let mut rng = Pcg64Mcg::seed_from_u64(bound.seed);
    let mut drawn = pairs.clone();
    let mut distances: Vec<f64> = (0..bound.resamples)
        .map(|_| {
            drawn.fill_with(|| pairs[rng.random_range(0..pairs.len())]);
            let [drawn, error] = estimate(drawn.iter().copied());
            // Without a distance, whatever the error.
            if drawn == quotient { 0.0 } else { (drawn - quotient) / error }
        })
        .collect();
    distances.sort_by(f64::total_cmp);
    // As many on either side lie farther away. Which side few prompts are skewed to is not known: the farther one counts.
    let beyond = ((1.0 - bound.confidence) * distances.len() as f64) as usize;
    let distance = distances.iter().nth_back(beyond)?.max(-*distances.get(beyond)?);
    let least = pairs.iter().map(|(a, b)| a / b).fold(f64::INFINITY, f64::min);
    Some((quotient - distance * error).max(least)).filter(|lower| lower.is_finite())
}

/// The quotient of the means of pairs, and its standard error (the delta method).
fn estimate(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> [f64; 2] {
    let (sums, count) = pairs
        .clone()
        .fold(((0.0, 0.0), 0.0), |((a, b), count), pair| ((a + pair.0, b + pair.1), count + 1.0));
    let quotient = sums.0 / sums.1;
    let squares: f64 = pairs.map(|(a, b)| (a - quotient * b).powi(2)).sum();
    [quotient, (squares * count / (count - 1.0)).sqrt() / sums.1]
}
