//! Inner loops, inlined into code that was compiled for the instructions at hand.

use dustin_kernels::registry::Dtype;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::vector::Vector;

/// Floats that the softmax works on side by side.
const LANES: usize = 16;

/// 16-bit items as floats.
#[inline(always)]
pub(super) fn convert(dtype: Dtype, items: &[u16], floats: &mut [f32]) {
    match dtype {
        Dtype::Bf16 => {
            for (float, &bits) in floats.iter_mut().zip(items) {
                *float = f32::from_bits(u32::from(bits) << 16);
            }
        }
        Dtype::F16 => items.reinterpret_cast::<half::f16>().convert_to_f32_slice(floats),
    }
}

/// Products of `COLUMNS` queries with one key.
#[inline(always)]
pub(super) fn scores<const DIM: usize, const COLUMNS: usize, V: Vector>(
    queries: &[[f32; DIM]; COLUMNS],
    key: &[f32; DIM],
) -> [f32; COLUMNS] {
    let mut sums = [V::splat(0.0); COLUMNS];
    for at in (0..DIM).step_by(V::LANES) {
        let key = V::load(&key[at..]);
        for column in 0..COLUMNS {
            sums[column] = sums[column].add_product(V::load(&queries[column][at..]), key);
        }
    }
    sums.map(V::sum)
}

/// Adds the values of a tile, weighted by `COLUMNS` rows of probabilities.
#[inline(always)]
pub(super) fn add_values<const DIM: usize, const COLUMNS: usize, V: Vector>(
    outputs: &mut [[f32; DIM]; COLUMNS],
    probabilities: [&[f32]; COLUMNS],
    values: &[[f32; DIM]],
) {
    let probabilities = probabilities.map(|row| &row[..values.len()]);
    for at in (0..DIM).step_by(V::LANES) {
        let mut sums = [V::splat(0.0); COLUMNS];
        for column in 0..COLUMNS {
            sums[column] = V::load(&outputs[column][at..]);
        }
        for (token, value) in values.iter().enumerate() {
            let value = V::load(&value[at..]);
            for column in 0..COLUMNS {
                sums[column] = sums[column].add_product(V::splat(probabilities[column][token]), value);
            }
        }
        for column in 0..COLUMNS {
            sums[column].store(&mut outputs[column][at..]);
        }
    }
}

/// 2 to the power `x`, to 2 ulp, for `x <= 0`; 0 below -126; NaN for NaN. Without branches, unlike the library's.
#[inline(always)]
pub(super) fn exp2(x: f32) -> f32 {
    /// Adding it leaves the nearest whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln(2)^k / k!, from the highest power down.
    const SERIES: [f32; 7] =
        [1.540_353e-4, 1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 2.402_265e-1, 6.931_472e-1, 1.0];
    let shifted = x + ROUND;
    let fraction = x - (shifted - ROUND);
    let mut power = SERIES[0];
    for coefficient in &SERIES[1..] {
        power = power * fraction + coefficient;
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    if x < -126.0 { 0.0 } else { power * f32::from_bits(exponent << 23) }
}

/// The largest logit of a column so far, and the sum of its probabilities relative to it, in units of log2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Softmax {
    pub(super) maximum: f32,
    pub(super) sum: f32,
}

impl Softmax {
    /// Nothing seen.
    pub(super) const EMPTY: Self = Self { maximum: f32::NEG_INFINITY, sum: 0.0 };

    /// Replaces scores by probabilities relative to the new maximum, and gives the factor that rescales what was
    /// summed before.
    #[inline(always)]
    pub(super) fn advance(&mut self, scores: &mut [f32], scale_log2: f32) -> f32 {
        let mut maxima = [f32::NEG_INFINITY; LANES];
        for chunk in scores.chunks_mut(LANES) {
            for (maximum, score) in maxima.iter_mut().zip(chunk) {
                *score *= scale_log2;
                *maximum = if *score > *maximum { *score } else { *maximum };
            }
        }
        let maximum = maxima.into_iter().fold(self.maximum, f32::max);
        let reference = finite(maximum);
        let factor = exp2(self.maximum - reference);
        let mut sums = [0.0; LANES];
        for chunk in scores.chunks_mut(LANES) {
            for (sum, score) in sums.iter_mut().zip(chunk) {
                *score = exp2(*score - reference);
                *sum += *score;
            }
        }
        self.sum = self.sum * factor + sums.into_iter().sum::<f32>();
        self.maximum = maximum;
        factor
    }

    /// What both have seen.
    pub(super) fn merge(self, other: Self) -> Self {
        let maximum = self.maximum.max(other.maximum);
        let reference = finite(maximum);
        let share = |of: Self| of.sum * exp2(of.maximum - reference);
        Self { maximum, sum: share(self) + share(other) }
    }
}

/// What maxima are subtracted as: as long as nothing has been seen, zero.
#[inline(always)]
pub(super) fn finite(maximum: f32) -> f32 {
    if maximum == f32::NEG_INFINITY { 0.0 } else { maximum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_within_two_units_of_the_last_place() {
        for step in 0..=1_260_000 {
            let x = -step as f32 / 10_000.0;
            let (expected, actual) = (f64::from(x).exp2(), f64::from(exp2(x)));
            assert!((actual - expected).abs() <= expected * 2.4e-7, "2^{x} is {expected}, not {actual}");
        }
        assert_eq!(exp2(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp2(-126.5), 0.0);
        assert!(exp2(f32::NAN).is_nan());
    }
}
