//! Inner loops, written so that the compiler vectorises them for whatever instructions the caller was compiled for.

/// Floats that are worked on side by side. Sums are taken in this order on every CPU.
pub(super) const LANES: usize = 16;

/// `a · b + c`, fused where the CPU can.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn lanes<const DIM: usize>(row: &[f32; DIM]) -> &[[f32; LANES]] {
    row.as_chunks().0
}

/// The sum of the lanes, by halves.
#[inline(always)]
pub(super) fn sum(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Products of `COLUMNS` queries with one key.
#[inline(always)]
pub(super) fn scores<const DIM: usize, const COLUMNS: usize, const FUSED: bool>(
    queries: &[[f32; DIM]; COLUMNS],
    key: &[f32; DIM],
) -> [f32; COLUMNS] {
    let mut sums = [[0.0; LANES]; COLUMNS];
    for (step, key) in lanes(key).iter().enumerate() {
        for (sum, query) in sums.iter_mut().zip(queries) {
            let query = &lanes(query)[step];
            for i in 0..LANES {
                sum[i] = multiply_add::<FUSED>(query[i], key[i], sum[i]);
            }
        }
    }
    sums.map(sum)
}

/// Adds the values of a tile, weighted by `COLUMNS` rows of probabilities.
#[inline(always)]
pub(super) fn add_values<const DIM: usize, const COLUMNS: usize, const FUSED: bool>(
    outputs: &mut [[f32; DIM]; COLUMNS],
    probabilities: [&[f32]; COLUMNS],
    values: &[[f32; DIM]],
) {
    for step in 0..DIM / LANES {
        let mut sums = [[0.0; LANES]; COLUMNS];
        for (sum, output) in sums.iter_mut().zip(outputs.iter()) {
            *sum = lanes(output)[step];
        }
        for (token, value) in values.iter().enumerate() {
            let value = &lanes(value)[step];
            for (sum, probabilities) in sums.iter_mut().zip(probabilities) {
                let probability = probabilities[token];
                for i in 0..LANES {
                    sum[i] = multiply_add::<FUSED>(probability, value[i], sum[i]);
                }
            }
        }
        for (sum, output) in sums.iter().zip(outputs.iter_mut()) {
            output.as_chunks_mut().0[step] = *sum;
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
        self.sum = self.sum * factor + sum(sums);
        self.maximum = maximum;
        factor
    }
}

/// What maxima are subtracted as: as long as nothing has been seen, zero.
#[inline(always)]
pub(super) fn finite(maximum: f32) -> f32 {
    if maximum == f32::NEG_INFINITY { 0.0 } else { maximum }
}
