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
    Element, Shared, math, redux,
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
    // Taken as unknown, what follows from the lane is not kept in registers between the steps.
    let lane = thread::opaque(lane());
    // SAFETY: the caller's promise; the token is one of the step's.
    let origin =
        unsafe { Shared::<u32>::at(G::PLAN.origins).load(in_step::<G>(G::team(), step) + lane % G::STEP) };
    // All columns see all tokens of most steps.
    if vote::ballot(origin != Origin::CONFIRMED) == 0 {
        return;
    }
    let valid = vote::ballot(origin != Origin::HIDDEN);
    let first_row = Origin::first_row(redux::reduce_max(origin));
    for i in 0..2 {
        let mut seen = valid;
        if let Some(row) = first_row {
            let column = 16 * G::member() + lane / 4 + 8 * i as u32;
            // SAFETY: the caller's promise; the column is one of the block's.
            seen &= (unsafe { Shared::<u64>::at(G::PLAN.columns).load(2 * column + 1) } >> row) as u32;
        }
        // The lane's tokens are two of every eight.
        seen >>= 2 * (lane % 4);
        for n in 0..H {
            for j in 0..2 {
                let score = &mut scores[n][2 * i + j];
                *score = if seen & 1 << (8 * n + j) == 0 { f32::NEG_INFINITY } else { *score };
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
