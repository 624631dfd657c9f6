//! The online softmax: base and sum of each query column's exponentials.
//!
//! A lane holds two columns of its warp's 16, `lane / 4` and the eighth behind; four lanes share a column. Exponentials are
//! taken relative to a *base*, which is replaced only where a logit exceeds it by [`SLACK`], so that what has been summed is
//! hardly ever scaled again.

use super::{
    shape::Shape,
    tokens::{Origin, in_step},
};
use crate::simt::{
    Element, Shared, math,
    shuffle::shuffle_xor_f32,
    thread::{self, lane},
    vote,
};

/// How far a logit may exceed the base, in units of log2: probabilities stay far below the largest 16-bit float.
const SLACK: f32 = 8.0;

/// Running state of the lane's two columns, in units of log2.
pub(super) struct Softmax {
    /// What exponentials are relative to; negative infinity until there is a logit.
    pub(super) bases: [f32; 2],
    /// Sum of the exponentials of the lane's own tokens.
    pub(super) sums: [f32; 2],
}

/// Hides the scores of step `step` that a column must not see: they become negative infinity. All 32 lanes take part.
///
/// # Safety
/// The step's origins and the columns' masks lie in shared memory, visible to this lane.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn mask<G: Shape, const H: usize>(scores: &mut [[f32; 4]; H], step: u32) {
    let origins = Shared::<u64>::at(G::PLAN.origins);
    // Taken as unknown, what follows from the lane is not kept in registers between the steps.
    let lane = thread::opaque(lane());
    let first = in_step::<G>(G::team(), step) / 2 + lane % 4;
    let mut any = 0;
    for n in 0..H {
        // SAFETY: the caller's promise; the tokens are two of the step's.
        any |= unsafe { origins.load(first + 4 * n as u32) };
    }
    // All columns see all tokens of most steps.
    if vote::ballot(any != 0) == 0 {
        return;
    }
    let column = 16 * G::member() + lane / 4;
    let masks = Shared::<u64>::at(G::PLAN.masks);
    // SAFETY: the caller's promise; the columns are the block's.
    let masks = unsafe { [masks.load(column), masks.load(column + 8)] };
    let first = thread::opaque(first);
    for n in 0..H {
        // SAFETY: as above. Loaded again, they are not kept in registers meanwhile.
        let pair = unsafe { origins.load(first + 4 * n as u32) };
        for i in 0..4 {
            if !Origin::is_seen((pair >> (32 * (i % 2))) as u32, masks[i / 2]) {
                scores[n][i] = f32::NEG_INFINITY;
            }
        }
    }
}

impl Softmax {
    /// Nothing seen yet.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) const fn new() -> Self {
        Self { bases: [f32::NEG_INFINITY; 2], sums: [0.0; 2] }
    }

    /// Replaces the bases where logits, scores times `scale`, exceed them by too much, and returns what to multiply older
    /// outputs with; nothing if all stay. All 32 lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn rebase<const H: usize>(&mut self, scores: &[[f32; 4]; H], scale: f32) -> Option<[f32; 2]> {
        let mut largest = [f32::NEG_INFINITY; 2];
        for n in 0..H {
            for i in 0..4 {
                largest[i / 2] = largest[i / 2].max(scores[n][i]);
            }
        }
        for i in 0..2 {
            largest[i] *= scale;
        }
        let exceeded = largest[0] > self.bases[0] + SLACK || largest[1] > self.bases[1] + SLACK;
        if vote::ballot(exceeded) == 0 {
            return None;
        }
        let mut factors = [1.0; 2];
        for i in 0..2 {
            for bit in 0..2 {
                largest[i] = largest[i].max(shuffle_xor_f32(largest[i], 1 << bit));
            }
            let raised = self.bases[i].max(largest[i]);
            factors[i] = math::exp2(self.bases[i] - finite(raised));
            self.bases[i] = raised;
            self.sums[i] *= factors[i];
        }
        Some(factors)
    }

    /// Turns scores into probabilities, not yet divided by their sum, and adds them to the sums. Returns them rounded: of each
    /// 8 tokens the lane's two, for each of its columns.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn probabilities<E: Element, const H: usize>(
        &mut self,
        scores: &[[f32; 4]; H],
        scale: f32,
    ) -> [[u32; 2]; H] {
        let bases = [finite(self.bases[0]), finite(self.bases[1])];
        let mut rounded = [[0; 2]; H];
        for n in 0..H {
            for i in 0..2 {
                let low = math::exp2(math::fma(scores[n][2 * i], scale, -bases[i]));
                let high = math::exp2(math::fma(scores[n][2 * i + 1], scale, -bases[i]));
                self.sums[i] += low + high;
                rounded[n][i] = E::pack(low, high);
            }
        }
        rounded
    }

    /// The sums over all lanes of each column. All 32 lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn totals(&self) -> [f32; 2] {
        let mut totals = self.sums;
        for i in 0..2 {
            for bit in 0..2 {
                totals[i] += shuffle_xor_f32(totals[i], 1 << bit);
            }
        }
        totals
    }
}

/// A base or maximum that can be subtracted: where nothing has been seen, any finite value serves.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn finite(maximum: f32) -> f32 {
    if maximum == f32::NEG_INFINITY { 0.0 } else { maximum }
}
