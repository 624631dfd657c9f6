//! Judges a back end's output by the f64 reference: first where it is not finite, then element by element, then by
//! its relative norm.

use dustin_kernels::registry::Dtype;

use crate::attention::{
    arrays::{AttentionArrays, LogBase, OutputType},
    problem::AttentionProblem,
    reference::Reference,
};
use crate::element::decode;

/// How far an output lies from the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// The largest absolute error.
    pub max_error: f64,
    /// Norm of the errors, relative to the norm of the reference.
    pub relative_norm: f64,
}

/// An output that is not what the reference says.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// The array is not of the problem's size.
    #[error("{what} must have {required} items, but has {actual}")]
    Items {
        /// The array.
        what: &'static str,
        /// Items asked for.
        required: usize,
        /// Items found.
        actual: usize,
    },
    /// NaN or infinite, and not what the reference is.
    #[error("{what} of row {row}, query head {head}, item {item} must be {expected}, but is {actual}")]
    NotFinite {
        /// The array.
        what: &'static str,
        /// Row of the batch.
        row: usize,
        /// Query head.
        head: usize,
        /// Item of the head; 0 for a log-sum-exp.
        item: usize,
        /// The reference.
        expected: f64,
        /// The value found.
        actual: f64,
    },
    /// Off by more than rounding explains.
    #[error(
        "{what} of row {row}, query head {head}, item {item} must be {expected} within {limit:.3e}, but is {actual}"
    )]
    Element {
        /// The array.
        what: &'static str,
        /// Row of the batch.
        row: usize,
        /// Query head.
        head: usize,
        /// Item of the head; 0 for a log-sum-exp.
        item: usize,
        /// The reference.
        expected: f64,
        /// The value found.
        actual: f64,
        /// The largest error allowed.
        limit: f64,
    },
    /// Each element is near enough, but together they are not.
    #[error("the output's relative error must be at most {limit:.1e}, but is {:.3e} (largest {:.3e})", .figures.relative_norm, .figures.max_error)]
    Norm {
        /// The figures found.
        figures: Figures,
        /// The largest relative norm allowed.
        limit: f64,
    },
}

/// The largest relative norm of the errors that is allowed.
#[must_use]
pub const fn norm_limit(dtype: Dtype, output: OutputType) -> f64 {
    match (dtype, output) {
        (Dtype::Bf16, OutputType::F32) => 2.5e-3,
        (Dtype::Bf16, OutputType::Rounded) => 4e-3,
        (Dtype::F16, _) => 6e-4,
    }
}

/// The unit roundoff of an element type, doubled: the weight of one rounding in the limit of an element.
const fn two_roundoffs(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Bf16 => 2.0 / 256.0,
        Dtype::F16 => 2.0 / 2048.0,
    }
}

/// A back end's output, strided as the problem's arrays are.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// 16-bit items of the problem's element type.
    Rounded(&'a [u16]),
    /// fp32 items.
    F32(&'a [f32]),
}

impl Output<'_> {
    fn len(self) -> usize {
        match self {
            Self::Rounded(items) => items.len(),
            Self::F32(items) => items.len(),
        }
    }

    fn get(self, dtype: Dtype, index: usize) -> f64 {
        f64::from(match self {
            Self::Rounded(items) => decode(dtype, items[index]),
            Self::F32(items) => items[index],
        })
    }

    /// The item type.
    #[must_use]
    pub const fn output_type(self) -> OutputType {
        match self {
            Self::Rounded(_) => OutputType::Rounded,
            Self::F32(_) => OutputType::F32,
        }
    }
}

/// Compares the rows that belong to a sequence with the reference.
///
/// # Errors
/// The first element that is at fault, or the figures if only the whole is.
pub fn compare_output(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    reference: &Reference,
    output: Output<'_>,
) -> Result<Figures, Mismatch> {
    let what = "output";
    let required = arrays.strides.output_extent(problem) as usize;
    if output.len() < required {
        return Err(Mismatch::Items { what, required, actual: output.len() });
    }
    let (dtype, dim) = (problem.dtype, problem.kv.head_dim as usize);
    let heads = problem.query_heads as usize;
    let each = || {
        let rows = (0..problem.total_rows as usize).filter(|&row| reference.owned[row]);
        rows.flat_map(move |row| (0..heads).flat_map(move |head| (0..dim).map(move |item| (row, head, item))))
            .map(|(row, head, item)| {
                let index = (row * heads + head) * dim + item;
                let at = row * arrays.strides.output_row as usize
                    + head * arrays.strides.output_head as usize
                    + item;
                (row, head, item, index, output.get(dtype, at))
            })
    };
    for (row, head, item, index, actual) in each() {
        let expected = reference.output[index];
        if differ_in_kind(expected, actual) {
            return Err(Mismatch::NotFinite { what, row, head, item, expected, actual });
        }
    }
    let (mut max_error, mut errors, mut norm) = (0.0f64, 0.0, 0.0);
    for (row, head, item, index, actual) in each() {
        let expected = reference.output[index];
        if !expected.is_finite() {
            continue;
        }
        let error = (actual - expected).abs();
        let limit = two_roundoffs(dtype) * (expected.abs() + reference.magnitude[index]) + 1e-5;
        if error > limit {
            return Err(Mismatch::Element { what, row, head, item, expected, actual, limit });
        }
        max_error = max_error.max(error);
        errors += error * error;
        norm += expected * expected;
    }
    let relative_norm = if errors == 0.0 { 0.0 } else { (errors / norm).sqrt() };
    let figures = Figures { max_error, relative_norm };
    let limit = norm_limit(dtype, output.output_type());
    if relative_norm > limit {
        return Err(Mismatch::Norm { figures, limit });
    }
    Ok(figures)
}

/// Compares the log-sum-exps `[total_rows, query_heads]` of the rows that belong to a sequence with the reference, and
/// gives the largest error. The limit is 1e-4 + 1e-6 · |lse|: logits and sums are fp32.
///
/// # Errors
/// The first one that is at fault.
pub fn compare_lse(
    problem: &AttentionProblem,
    reference: &Reference,
    lse: &[f32],
    base: LogBase,
) -> Result<f64, Mismatch> {
    let what = "log-sum-exp";
    let heads = problem.query_heads as usize;
    let required = problem.total_rows as usize * heads;
    if lse.len() < required {
        return Err(Mismatch::Items { what, required, actual: lse.len() });
    }
    let unit = match base {
        LogBase::E => 1.0,
        LogBase::Two => std::f64::consts::LOG2_E,
    };
    let each = || {
        let owned = (0..required).filter(|index| reference.owned[index / heads]);
        owned.map(|i| (i / heads, i % heads, reference.lse[i] * unit, f64::from(lse[i])))
    };
    for (row, head, expected, actual) in each() {
        if differ_in_kind(expected, actual) {
            return Err(Mismatch::NotFinite { what, row, head, item: 0, expected, actual });
        }
    }
    let mut max_error = 0.0f64;
    for (row, head, expected, actual) in each().filter(|&(_, _, expected, _)| expected.is_finite()) {
        let (error, limit) = ((actual - expected).abs(), 1e-4 + 1e-6 * expected.abs());
        if error > limit {
            return Err(Mismatch::Element { what, row, head, item: 0, expected, actual, limit });
        }
        max_error = max_error.max(error);
    }
    Ok(max_error)
}

/// Whether one is NaN, or infinite with its sign, and the other is not.
pub(crate) fn differ_in_kind(expected: f64, actual: f64) -> bool {
    if expected.is_finite() && actual.is_finite() || expected.is_nan() && actual.is_nan() {
        return false;
    }
    expected != actual
}

#[cfg(test)]
mod tests;
