//! The online softmax: running maximum and sum of each query column.
//!
//! A thread holds two columns of every column group, `8n + 2(lane % 4)` and the next, in both products' fragments.

use super::{params::Params, products::token_group, shape::Shape, task::Task};
use crate::simt::{
    Element, Shared, atomic, math,
    shuffle::shuffle_xor_f32,
    thread::{lane, thread_index},
};

/// The two columns of each column group that a thread holds.
pub(super) type Pairs<const C: usize> = [[f32; 2]; C];

/// Running state of the thread's columns, in units of log2.
pub(super) struct Softmax<const C: usize> {
    /// Largest logit of the block so far.
    pub(super) maxima: Pairs<C>,
    /// Sum of the probabilities of the thread's own tokens, relative to `maxima`.
    pub(super) sums: Pairs<C>,
}

/// An integer that orders as the float does. Its own inverse.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
const fn ordered(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

/// The block's maxima start below every logit. Readers need a barrier.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn reset_maxima<G: Shape>() {
    let maxima = Shared::<i32>::at(G::PLAN.maxima);
    if thread_index() < G::COLUMNS {
        // SAFETY: the region holds one item for each column.
        unsafe { maxima.store(thread_index(), ordered(f32::NEG_INFINITY.to_bits() as i32)) };
    }
}

/// The block's maximum of local column `column`.
///
/// # Safety
/// `maxima` is the region that [`reset_maxima`] fills, and the column one of the block's.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub(super) unsafe fn maximum(maxima: Shared<i32>, column: u32) -> f32 {
    // SAFETY: the caller's promise.
    f32::from_bits(ordered(unsafe { maxima.load(column) }) as u32)
}

/// Scales the scores of tile `tile` to logits in units of log2; what a column must not see becomes negative infinity.
///
/// # Safety
/// The tile's thresholds lie in shared memory, visible to this thread.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn mask<G: Shape, const M: usize, const C: usize>(
    params: &Params,
    task: &Task,
    scores: &mut [[[f32; 4]; C]; M],
    tile: u32,
) {
    let thresholds = Shared::<u32>::at(G::PLAN.thresholds);
    let base = tile % G::PLAN.offset_tiles * G::TOKENS;
    let column = task.first_column + 2 * (lane() % 4);
    for (i, group) in scores.iter_mut().enumerate() {
        let token = token_group::<G>(i) * 16 + lane() / 4;
        for half in 0..2 {
            // SAFETY: the caller's promise; the token lies in the tile.
            let threshold = unsafe { thresholds.load(base + token + 8 * half as u32) };
            for (n, accumulator) in group.iter_mut().enumerate() {
                for j in 0..2 {
                    let seen = column + (8 * n + j) as u32 >= threshold;
                    let logit = accumulator[2 * half + j] * params.scale_log2;
                    accumulator[2 * half + j] = if seen { logit } else { f32::NEG_INFINITY };
                }
            }
        }
    }
}

/// Raises the block's maxima to the warp's logits. Readers need a barrier. All 32 lanes take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn raise_maxima<G: Shape, const M: usize, const C: usize>(logits: &[[[f32; 4]; C]; M]) {
    let maxima = Shared::<i32>::at(G::PLAN.maxima);
    for n in 0..C {
        for j in 0..2 {
            let mut largest = f32::NEG_INFINITY;
            for group in logits {
                largest = largest.max(group[n][j]).max(group[n][2 + j]);
            }
            for bit in 2..5 {
                largest = largest.max(shuffle_xor_f32(largest, 1 << bit));
            }
            if lane() < 4 {
                let column = (8 * n + j) as u32 + 2 * lane();
                // SAFETY: the region holds one item for each column; between the barriers it is raised alone.
                unsafe { atomic::shared_max(maxima, column, ordered(largest.to_bits() as i32)) };
            }
        }
    }
}

impl<const C: usize> Softmax<C> {
    /// Nothing seen yet.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) const fn new() -> Self {
        Self { maxima: [[f32::NEG_INFINITY; 2]; C], sums: [[0.0; 2]; C] }
    }

    /// Takes over the block's raised maxima and returns the factors that older sums and outputs shrink by.
    ///
    /// # Safety
    /// Every warp has raised the maxima before a barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn advance<G: Shape>(&mut self) -> Pairs<C> {
        let shared = Shared::<i32>::at(G::PLAN.maxima);
        let mut factors = [[1.0; 2]; C];
        for n in 0..C {
            for j in 0..2 {
                let column = (8 * n + j) as u32 + 2 * (lane() % 4);
                // SAFETY: the region holds one item for each column.
                let raised = unsafe { maximum(shared, column) };
                factors[n][j] = math::exp2(self.maxima[n][j] - finite(raised));
                self.maxima[n][j] = raised;
                self.sums[n][j] *= factors[n][j];
            }
        }
        factors
    }

    /// Turns the logits of token groups below `groups` into probabilities: adds them to the sums and writes them to
    /// shared memory, rounded. Readers need a barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn probabilities<E: Element, G: Shape, const M: usize>(
        &mut self,
        logits: &[[[f32; 4]; C]; M],
        groups: u32,
    ) {
        let region = Shared::<u32>::at(G::PLAN.probabilities);
        for (i, columns) in logits.iter().enumerate() {
            let group = token_group::<G>(i);
            if group >= groups {
                continue;
            }
            for half in 0..2 {
                let token = group * 16 + 8 * half as u32 + lane() / 4;
                for (n, accumulator) in columns.iter().enumerate() {
                    let p = [0, 1].map(|j| math::exp2(accumulator[2 * half + j] - finite(self.maxima[n][j])));
                    self.sums[n][0] += p[0];
                    self.sums[n][1] += p[1];
                    let word = (token * G::PLAN.probability_stride / 2) + 4 * n as u32 + lane() % 4;
                    // SAFETY: the region holds `TOKENS` rows; a barrier separates this from the last readers.
                    unsafe { region.store(word, E::pack(p[0], p[1])) };
                }
            }
        }
    }
}

/// A maximum that can be subtracted: where nothing has been seen, any finite value serves.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn finite(maximum: f32) -> f32 {
    if maximum == f32::NEG_INFINITY { 0.0 } else { maximum }
}
