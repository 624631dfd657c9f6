//! What is to be known of a part of a row's scores, and of a whole row.

use super::scores::Measure;
use crate::simt::{Global, WARP, shuffle, thread::lane};

/// No token.
pub(super) const NONE: u32 = u32::MAX;

/// Figures of some tokens' scores. As a word of 16 bytes: maximum, token, sum, and whether one is NaN.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    /// The greatest score, NaN left out; negative infinity if there is none.
    pub(super) max: f32,
    /// The lowest token that has it; [`NONE`] where that is negative infinity.
    pub(super) token: u32,
    /// The sum of the weights, in units of the maximum's where scores are logits.
    pub(super) sum: f32,
    /// Whether a score is NaN.
    pub(super) has_nan: bool,
}

impl Chunk {
    /// Of no tokens.
    pub(super) const EMPTY: Self = Self { max: f32::NEG_INFINITY, token: NONE, sum: 0.0, has_nan: false };

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn word(&self) -> [u32; 4] {
        [self.max.to_bits(), self.token, self.sum.to_bits(), u32::from(self.has_nan)]
    }

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_word([max, token, sum, has_nan]: [u32; 4]) -> Self {
        Self { max: f32::from_bits(max), token, sum: f32::from_bits(sum), has_nan: has_nan != 0 }
    }

    /// Of the tokens of both. Who is named first makes no difference.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn merge(&self, other: &Self, measure: Measure) -> Self {
        let max = if other.max > self.max { other.max } else { self.max };
        let token = |of: &Self| if of.max == max { of.token } else { NONE };
        let share = |of: &Self| of.sum * measure.factor(of.max, max);
        Self {
            max,
            token: token(self).min(token(other)),
            sum: share(self) + share(other),
            has_nan: self.has_nan || other.has_nan,
        }
    }

    /// Of the tokens of all lanes, in every lane. All lanes of the warp take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub(super) fn merge_lanes(mut self, measure: Measure) -> Self {
        let mut mask = WARP / 2;
        while mask > 0 {
            let mut other = self.word();
            for index in 0..4 {
                other[index] = shuffle::shuffle_xor(other[index], mask);
            }
            self = self.merge(&Self::of_word(other), measure);
            mask /= 2;
        }
        self
    }

    /// Of a row whose `count` chunks lie from item `first` of `chunks` on, in every lane. All lanes of the warp take part.
    ///
    /// # Safety
    /// The chunks exist.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of_row(chunks: Global<[u32; 4]>, first: u64, count: u32, measure: Measure) -> Self {
        let mut own = Self::EMPTY;
        let mut index = lane();
        while index < count {
            // SAFETY: the caller's promise.
            let chunk = Self::of_word(unsafe { chunks.load(first + u64::from(index)) });
            own = own.merge(&chunk, measure);
            index += WARP;
        }
        own.merge_lanes(measure)
    }
}
