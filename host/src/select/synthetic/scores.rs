//! The kinds of importance maps: those of real heads, and those that break selections.

use rand::{Rng, RngExt};

/// A kind of map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scores {
    /// Probabilities as a softmax of normal logits gives them: few are large, hardly any two are equal.
    Softmax,
    /// One value everywhere.
    Equal,
    /// One of two values.
    TwoValues,
    /// Rising with the position, in steps of several positions.
    Ascending,
    /// Falling with the position, in steps of several positions.
    Descending,
    /// One value everywhere but at one position.
    Spike,
    /// Denormals of both signs, and zeros.
    Denormals,
    /// Zeros of both signs, and few numbers.
    Zeros,
    /// Infinities of both signs, and numbers.
    Infinities,
    /// NaN of both signs, and few numbers and infinities.
    Nans,
    /// Values that share their upper bits, whatever part of them a radix looks at.
    Crowded,
    /// Any bits.
    Bits,
}

impl Scores {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Softmax,
        Self::Equal,
        Self::TwoValues,
        Self::Ascending,
        Self::Descending,
        Self::Spike,
        Self::Denormals,
        Self::Zeros,
        Self::Infinities,
        Self::Nans,
        Self::Crowded,
        Self::Bits,
    ];

    /// Fills the part of a map that belongs to one sequence.
    pub fn fill(self, items: &mut [f32], rng: &mut impl Rng) {
        let count = items.len();
        let step = rng.random_range(1..=8);
        let (low, high) = (f32::from_bits(rng.random_range(0..0x7f80_0000)), rng.random::<f32>());
        let crowd = rng.random::<u32>() & 0x7f7f_ffff;
        let free_bits = [4, 9, 12, 17, 22][rng.random_range(0..5)];
        match self {
            Self::Softmax => {
                // Gumbel noise is what the logits of the best tokens look like.
                items.fill_with(|| (-rng.random::<f32>().max(f32::MIN_POSITIVE).ln()).recip());
                let sum: f32 = items.iter().sum();
                items.iter_mut().for_each(|item| *item /= sum);
            }
            Self::Equal => items.fill(high),
            Self::TwoValues => items.fill_with(|| if rng.random() { low } else { high }),
            Self::Ascending => items.iter_mut().enumerate().for_each(|(i, item)| *item = (i / step) as f32),
            Self::Descending => {
                items.iter_mut().enumerate().for_each(|(i, item)| *item = ((count - i) / step) as f32);
            }
            Self::Spike => {
                items.fill(high);
                if let Some(last) = items.last_mut() {
                    *last = if rng.random() { 2.0 } else { -2.0 };
                }
                let at = rng.random_range(0..count.max(1));
                if at < count {
                    items.swap(at, count - 1);
                }
            }
            Self::Denormals => items.fill_with(|| {
                let bits = rng.random::<u32>();
                f32::from_bits(bits & 0x8000_0000 | if bits & 1 == 0 { bits >> 9 & 0x7f_ffff } else { 0 })
            }),
            Self::Zeros => items.fill_with(|| sparse(rng, [0.0, -0.0, -0.0, 0.0])),
            Self::Infinities => {
                items.fill_with(|| sparse(rng, [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]));
            }
            Self::Nans => items.fill_with(|| sparse(rng, [f32::NAN, -f32::NAN, f32::NAN, f32::NEG_INFINITY])),
            Self::Crowded => {
                items.fill_with(|| f32::from_bits(crowd ^ rng.random::<u32>() & ((1 << free_bits) - 1)));
            }
            Self::Bits => items.fill_with(|| f32::from_bits(rng.random())),
        }
    }
}

/// One of four values; now and then a number, of which many are equal.
fn sparse(rng: &mut impl Rng, values: [f32; 4]) -> f32 {
    match rng.random_range(0..16) {
        0 => rng.random(),
        1 => -1.5,
        at => values[at % 4],
    }
}
