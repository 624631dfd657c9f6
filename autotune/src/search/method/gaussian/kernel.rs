//! How a process varies, and how that is fitted.

use super::{LEAST_NOISE, Process};

/// Rates of a new process, and the middle of their prior: half of the unit cube is near.
const RATE: f64 = 1.0;

/// Roughness of a new process, and the middle of its prior.
const ROUGHNESS: f64 = 0.4;

/// Noise of a new process, as a share of the variance, and the middle of its prior.
const NOISE: f64 = 0.01;

/// Passes over the parameters of one fit.
const SWEEPS: u32 = 4;

/// How the process varies: what is fitted.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(super) rates: Vec<f64>,
    /// The distance that any difference in a coordinate adds, however small: the next size may fit a warp, and this one
    /// not.
    roughness: f64,
    /// Variance of the measurements, as a share of the process's.
    pub(super) noise: f64,
}

impl Kernel {
    /// The kernel before anything is known of `dimensions` coordinates.
    pub(crate) fn new(dimensions: usize) -> Self {
        Self { rates: vec![RATE; dimensions], roughness: ROUGHNESS, noise: NOISE }
    }

    /// The correlation between two points.
    pub(super) fn correlation(&self, a: &[f64], b: &[f64]) -> f64 {
        let jump = self.roughness * self.roughness;
        let mut square = 0.0;
        for ((rate, a), b) in self.rates.iter().zip(a).zip(b) {
            square += (rate * (a - b)).powi(2) + if a == b { 0.0 } else { jump };
        }
        let distance = (5.0_f64 * square).sqrt();
        (1.0 + distance + distance * distance / 3.0) * (-distance).exp()
    }

    /// The kernel with its parameters moved uphill in likelihood, one at a time with shrinking steps.
    pub(crate) fn fitted(mut self, inputs: &[&[f64]], targets: &[f64]) -> Self {
        let mut least = self.misfit(inputs, targets);
        let mut step = 0.8_f64;
        for _ in 0..SWEEPS {
            for parameter in 0..self.rates.len() + 2 {
                for factor in [step.exp(), (-step).exp()] {
                    let mut moved = self.clone();
                    match parameter.checked_sub(self.rates.len()) {
                        None => moved.rates[parameter] *= factor,
                        Some(0) => moved.roughness *= factor,
                        // Noise is known less well.
                        Some(_) => moved.noise = (moved.noise * factor * factor).max(LEAST_NOISE),
                    }
                    let misfit = moved.misfit(inputs, targets);
                    if misfit < least {
                        (self, least) = (moved, misfit);
                        break;
                    }
                }
            }
            step *= 0.7;
        }
        self
    }

    /// The negative logarithm of likelihood and prior, up to a constant; mean and variance are the likeliest ones.
    pub(super) fn misfit(&self, inputs: &[&[f64]], targets: &[f64]) -> f64 {
        let process = Process::new(self.clone(), inputs, targets);
        let data = process.misfit();
        let surprise =
            |value: f64, expected: f64, width: f64| ((value / expected).ln() / width).powi(2) / 2.0;
        let rates: f64 = self.rates.iter().map(|&rate| surprise(rate, RATE, 1.0)).sum();
        data + rates + surprise(self.roughness, ROUGHNESS, 1.0) + surprise(self.noise, NOISE, 1.5)
    }
}
