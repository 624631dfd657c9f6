//! Rows of scores, and the weights that they stand for.

use super::params::{Scores, dtype, kind};
use crate::simt::{Bf16, Element, F16, Global, math};

/// Probabilities count as no more than this: 2^100, so that a sum of 2^27 of them is finite.
const MOST: f32 = (1_u128 << 100) as f32;

/// A row of scores.
#[derive(Clone, Copy)]
pub(super) struct Row {
    address: u64,
    dtype: u32,
    vocabulary: u32,
    /// Whether four items lie in one aligned word.
    aligned: bool,
}

impl Row {
    /// Row `index` of `scores`, which has rows of `vocabulary` tokens.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn new(scores: &Scores, index: u32, vocabulary: u32) -> Self {
        let size = if scores.dtype == dtype::F32 { 4 } else { 2 };
        let address = scores.address.wrapping_add(u64::from(index).wrapping_mul(scores.row_stride * size));
        Self { address, dtype: scores.dtype, vocabulary, aligned: address.is_multiple_of(4 * size) }
    }

    /// The score of `token`.
    ///
    /// # Safety
    /// The row exists, and has the token.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn load(&self, token: u32) -> f32 {
        let index = u64::from(token);
        // SAFETY: the caller's promise.
        unsafe {
            match self.dtype {
                dtype::F32 => Global::<f32>::at(self.address).load(index),
                dtype::BF16 => Bf16::unpack(Global::at(self.address).load(index)),
                _ => F16::unpack(Global::at(self.address).load(index)),
            }
        }
    }

    /// The scores of four tokens from `first`, a multiple of 4, on; negative infinity for those that the row does not have.
    ///
    /// # Safety
    /// The row exists.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn load_four(&self, first: u32) -> [f32; 4] {
        // SAFETY: the caller's promise; four items that the row has lie in one word if the row is aligned.
        unsafe {
            if self.aligned && first + 4 <= self.vocabulary {
                self.load_word(first)
            } else {
                let mut scores = [f32::NEG_INFINITY; 4];
                for item in 0..4 {
                    if first + (item as u32) < self.vocabulary {
                        scores[item] = self.load(first + item as u32);
                    }
                }
                scores
            }
        }
    }

    /// # Safety
    /// As [`Row::load_four`]; the row is aligned and has all four.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn load_word(&self, first: u32) -> [f32; 4] {
        let index = u64::from(first / 4);
        if self.dtype == dtype::F32 {
            // SAFETY: the caller's promise.
            let word = unsafe { Global::<[u32; 4]>::at(self.address).load(index) };
            let item = |item: usize| f32::from_bits(word[item]);
            [item(0), item(1), item(2), item(3)]
        } else {
            // SAFETY: the caller's promise.
            let word = unsafe { Global::<u64>::at(self.address).load(index) };
            let item = |item: u32| (word >> (16 * item)) as u16;
            if self.dtype == dtype::BF16 {
                [Bf16::unpack(item(0)), Bf16::unpack(item(1)), Bf16::unpack(item(2)), Bf16::unpack(item(3))]
            } else {
                [F16::unpack(item(0)), F16::unpack(item(1)), F16::unpack(item(2)), F16::unpack(item(3))]
            }
        }
    }
}

/// How scores become weights.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    is_logits: bool,
    /// log2(e) / temperature.
    scale_log2: f32,
}

impl Measure {
    /// That of scores of `kind` at `temperature`, not negative.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn new(kind: u32, temperature: f32) -> Self {
        let scale = core::f32::consts::LOG2_E / temperature;
        // Finite, so that it may be multiplied by 0. So cold a sequence takes the best token anyway.
        let scale_log2 = if scale < f32::MAX { scale } else { f32::MAX };
        Self { is_logits: kind == kind::LOGITS, scale_log2 }
    }

    /// The weight of a score in a row whose greatest is `max`, in units of the best token's weight where scores are logits; 0 for
    /// NaN.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn weight(&self, score: f32, max: f32) -> f32 {
        if self.is_logits {
            self.factor(score, max)
        } else {
            let weight = math::max(score, 0.0);
            if weight < MOST { weight } else { MOST }
        }
    }

    /// What a sum of weights in units of `part`'s is multiplied by to be in units of `max`'s, which is no less.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn factor(&self, part: f32, max: f32) -> f32 {
        // Also where both are infinite. Other differences with infinities are 0, or NaN, which counts as 0.
        let equal = part == max || !self.is_logits;
        let weight = math::max(math::exp2((part - max) * self.scale_log2), 0.0);
        if equal { 1.0 } else { weight }
    }

    /// Whether a row whose greatest score is `max` has any weight.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn has_mass(&self, max: f32) -> bool {
        max > if self.is_logits { f32::NEG_INFINITY } else { 0.0 }
    }
}
