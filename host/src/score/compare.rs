//! Judges a back end's map by the f64 reference: first what must not be written or must be exactly zero, then where it is
//! not finite, then its sums, then its relative norm.

use crate::{
    attention::compare::differ_in_kind,
    score::{
        problem::ScoreProblem,
        reference::{Position, Reference},
    },
};

/// How far a map lies from the reference: of each figure, that of the sequence where it is largest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// The largest absolute error of a score.
    pub max_error: f64,
    /// Error of the sum of a sequence's scores, relative to the sum of the absolute weights of all columns.
    pub sum_error: f64,
    /// Norm of the errors of a sequence's scores, relative to the norm of their
    /// [magnitudes](Reference::magnitudes).
    pub relative_norm: f64,
}

/// The largest relative norm of the errors of a sequence's scores that is allowed.
pub const NORM_LIMIT: f64 = 5e-4;

/// The largest error of the sum of a sequence's scores that is allowed, relative to the sum of the absolute weights of all
/// columns. Where one column alone has a weight, it is the error of the sum of that column's probabilities.
pub const SUM_LIMIT: f64 = 1e-4;

/// A map that is not what the reference says.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// The array is not of the problem's size.
    #[error("the map must have {required} items, but has {actual}")]
    Items {
        /// Items asked for.
        required: usize,
        /// Items found.
        actual: usize,
    },
    /// Written, although it is no sequence's.
    #[error("position {position} of the map must be left as it is, {expected}, but is {actual}")]
    Touched {
        /// Position of the map.
        position: usize,
        /// What it held before.
        expected: f32,
        /// The value found.
        actual: f32,
    },
    /// Of a token that is masked, and not zero or as it was.
    #[error("position {position} of the map is masked and must be {expected}, but is {actual}")]
    Masked {
        /// Position of the map.
        position: usize,
        /// What it must hold.
        expected: f64,
        /// The value found.
        actual: f32,
    },
    /// NaN or infinite, and not what the reference is.
    #[error("position {position} of the map must be {expected}, but is {actual}")]
    NotFinite {
        /// Position of the map.
        position: usize,
        /// The reference.
        expected: f64,
        /// The value found.
        actual: f32,
    },
    /// A sequence's scores do not sum up to the weights.
    #[error(
        "the scores of sequence {sequence} must sum up to {expected} within {SUM_LIMIT:.1e} of the weights, but to {actual}"
    )]
    Sum {
        /// Sequence of the batch.
        sequence: usize,
        /// The weights of its columns.
        expected: f64,
        /// The sum found.
        actual: f64,
    },
    /// A sequence's scores are too far from the reference.
    #[error("the relative error of sequence {sequence} must be at most {NORM_LIMIT:.1e}, but is {:.3e} (largest {:.3e})", .figures.relative_norm, .figures.max_error)]
    Norm {
        /// Sequence of the batch.
        sequence: usize,
        /// The figures of the sequence.
        figures: Figures,
    },
}

/// Compares a map with the reference that was made of `before`, what it held before the launch. Long sequences have small
/// scores: each sequence is judged by its own, so that no other hides its errors.
///
/// # Errors
/// The first position that is at fault, or the first sequence whose scores are as a whole.
pub fn compare_map(
    problem: &ScoreProblem,
    reference: &Reference,
    before: &[f32],
    map: &[f32],
) -> Result<Figures, Mismatch> {
    let required = reference.map.len();
    for array in [before, map] {
        if array.len() < required {
            return Err(Mismatch::Items { required, actual: array.len() });
        }
    }
    for (position, (&kind, &expected)) in reference.positions.iter().zip(&reference.map).enumerate() {
        let (before, actual) = (before[position], map[position]);
        match kind {
            Position::Untouched if actual.to_bits() != before.to_bits() => {
                return Err(Mismatch::Touched { position, expected: before, actual });
            }
            Position::Masked if f64::from(actual) != expected => {
                return Err(Mismatch::Masked { position, expected, actual });
            }
            Position::Scored if differ_in_kind(expected, f64::from(actual)) => {
                return Err(Mismatch::NotFinite { position, expected, actual });
            }
            _ => {}
        }
    }
    let scored = Scored { problem, reference, before, map };
    let mut largest = Figures::default();
    for sequence in 0..reference.parts.len() {
        let sum_error = scored.sum_error(sequence)?;
        let figures = Figures { sum_error, ..scored.errors(sequence) };
        if figures.relative_norm > NORM_LIMIT {
            return Err(Mismatch::Norm { sequence, figures });
        }
        largest = largest.max(figures);
    }
    Ok(largest)
}

impl Figures {
    fn max(self, other: Self) -> Self {
        Self {
            max_error: self.max_error.max(other.max_error),
            sum_error: self.sum_error.max(other.sum_error),
            relative_norm: self.relative_norm.max(other.relative_norm),
        }
    }
}

/// A map whose positions are of the right kinds.
struct Scored<'a> {
    problem: &'a ScoreProblem,
    reference: &'a Reference,
    before: &'a [f32],
    map: &'a [f32],
}

impl Scored<'_> {
    /// What the map held before, to which the scores are added.
    fn held(&self, at: usize) -> f64 {
        if self.problem.accumulate { self.before[at].into() } else { 0.0 }
    }

    /// How far a position may be from the reference because it held a number before: each source's addition rounds that,
    /// however small the scores are.
    fn rounding(&self, at: usize) -> f64 {
        self.held(at).abs() * f64::from(f32::EPSILON) * self.problem.sources.len() as f64
    }

    /// The error of the sum of a sequence's scores, where they are finite, relative to the weights.
    fn sum_error(&self, sequence: usize) -> Result<f64, Mismatch> {
        let weights = self.problem.sources.iter().flat_map(|source| &source.heads);
        let weights: f64 = weights.map(|captured| f64::from(captured.weight).abs()).sum();
        let scale = weights * f64::from(self.problem.tokens);
        let (part, expected) = (self.reference.parts[sequence].clone(), self.reference.sums[sequence]);
        let actual: f64 = part.clone().map(|at| f64::from(self.map[at]) - self.held(at)).sum();
        let rounding: f64 = part.map(|at| self.rounding(at)).sum();
        let error = (actual - expected).abs() - rounding;
        if error > SUM_LIMIT * scale {
            return Err(Mismatch::Sum { sequence, expected, actual });
        }
        Ok(if error > 0.0 { error / scale } else { 0.0 })
    }

    /// The errors of a sequence's scores, where they are finite.
    fn errors(&self, sequence: usize) -> Figures {
        let mut figures = Figures::default();
        let (mut errors, mut norm) = (0.0, 0.0);
        for at in self.reference.parts[sequence].clone() {
            let (expected, magnitude) = (self.reference.map[at], self.reference.magnitudes[at]);
            if expected.is_finite() && magnitude.is_finite() {
                let error = (f64::from(self.map[at]) - expected).abs();
                figures.max_error = figures.max_error.max(error);
                errors += (error - self.rounding(at)).max(0.0).powi(2);
                norm += magnitude * magnitude;
            }
        }
        figures.relative_norm = if errors == 0.0 { 0.0 } else { (errors / norm).sqrt() };
        figures
    }
}

/// The share of the `k` best positions of `expected` that are among the `k` best of `actual`; ties go to the lower
/// position. 1 where there are none.
#[must_use]
pub fn recall(expected: &[f64], actual: &[f32], k: usize) -> f64 {
    let actual: Vec<f64> = actual.iter().map(|&score| score.into()).collect();
    let (wanted, found) = (best(expected, k), best(&actual, k));
    let common = wanted.iter().filter(|position| found.binary_search(position).is_ok()).count();
    if wanted.is_empty() { 1.0 } else { common as f64 / wanted.len() as f64 }
}

/// The `k` best positions, ascending.
fn best(scores: &[f64], k: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..scores.len()).collect();
    // The sort is stable, so that ties stay in ascending order.
    positions.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    positions.truncate(k);
    positions.sort_unstable();
    positions
}

#[cfg(test)]
mod tests;
