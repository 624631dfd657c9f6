//! From logits and sums to the map.

use super::{
    layout,
    params::{Fold, FoldParams},
    sequence::Sequence,
    sums::Sum,
    walk::Chunks,
};
use crate::simt::{
    Shared, WARP, barrier, math,
    thread::{lane, warp},
};

/// Tokens that a lane folds at a time, so that as many loads are in flight.
const AT_A_TIME: usize = 8;

/// What is needed to fold a sequence's logits: for each column the logarithm of its normaliser and its weight, two fp32
/// in shared memory at `norms`.
#[derive(Clone, Copy)]
pub(super) struct Folding {
    norms: Shared<f32>,
    columns: u32,
    accumulate: bool,
}

impl Folding {
    /// Combines the sums of the sequence's chunks, the columns shared out among the block's `warps`. The result may be
    /// used after the block's next barrier.
    ///
    /// # Safety
    /// The workspace holds what the source left, of every chunk of every column: that launch had the same lengths, slots and
    /// parts of the map. Shared memory has room for two floats for each column at `norms`,
    /// which nobody accesses before the barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn prepare(left: &Fold, sequence: &Sequence, norms: u32, warps: u32) -> Self {
        // SAFETY: the caller's promise.
        let slot = unsafe { sequence.slot(left.slots, left.slot_capacity) };
        let columns = if slot.is_some() { left.columns } else { 0 };
        let norms = Shared::<f32>::at(norms);
        let chunks = layout::chunks(sequence.length);
        let mut column = warp();
        while column < columns {
            let mut total = Sum::NONE;
            let mut chunk = lane();
            while chunk < chunks {
                let place = sequence.sums(left, column, chunk);
                // SAFETY: every chunk of every column has been written.
                let sum = unsafe { Sum { base: left.sums.load(place), sum: left.sums.load(place + 1) } };
                total = total.merge(sum);
                chunk += WARP;
            }
            for bit in 0..5 {
                total = total.across(1 << bit);
            }
            if lane() == 0 {
                // A column without a single token that can be read gives nothing; one that met a NaN gives NaN.
                let some = total.sum != 0.0;
                // SAFETY: there is a weight for each column, and room for two floats.
                unsafe {
                    norms.store(2 * column, if some { total.base + math::log2(total.sum) } else { 0.0 });
                    norms
                        .store(2 * column + 1, if some { left.weights.load(u64::from(column)) } else { 0.0 });
                }
            }
            column += warps;
        }
        Self { norms, columns, accumulate: left.accumulate != 0 }
    }

    /// For a sequence without queries, whose part of the map is zero.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_nothing(left: &Fold) -> Self {
        Self { norms: Shared::at(0), columns: 0, accumulate: left.accumulate != 0 }
    }

    /// Folds the positions `begin .. end` with the calling warp's lanes.
    ///
    /// # Safety
    /// As [`Folding::prepare`], behind the barrier; no other warp folds these positions.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn chunk(&self, left: &Fold, sequence: &Sequence, begin: u32, end: u32) {
        if self.columns == 0 && self.accumulate {
            return;
        }
        let mut base = begin + lane();
        while base < end {
            let mut map = [0.0; AT_A_TIME];
            // SAFETY: the column is one of those prepared, if there are any.
            let mut ahead = unsafe { self.logits(left, sequence, 0, base, end) };
            for column in 0..self.columns {
                let logits = ahead;
                // SAFETY: as above.
                let (norm, weight) = unsafe {
                    ahead = self.logits(left, sequence, column + 1, base, end);
                    (self.norms.load(2 * column), self.norms.load(2 * column + 1))
                };
                for i in 0..AT_A_TIME {
                    map[i] = math::fma(weight, math::exp2(logits[i] - norm), map[i]);
                }
            }
            for i in 0..AT_A_TIME {
                let position = base + WARP * i as u32;
                if position < end {
                    let place = u64::from(sequence.map_start) + u64::from(position);
                    // SAFETY: the sequence's part of the map has room for its length; no other lane has this position of the sequence.
                    unsafe {
                        let before = if self.accumulate { left.map.load(place) } else { 0.0 };
                        left.map.store(place, before + map[i]);
                    }
                }
            }
            base += WARP * AT_A_TIME as u32;
        }
    }

    /// Folds the warp's chunks.
    ///
    /// # Safety
    /// As [`Folding::chunk`], for each of them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn chunks(&self, left: &Fold, sequence: &Sequence, chunks: Chunks) {
        let mut chunk = chunks.first;
        while let Some((begin, end)) = chunks.range(chunk) {
            // SAFETY: the caller's promise.
            unsafe { self.chunk(left, sequence, begin, end) };
            chunk += chunks.stride;
        }
    }

    /// The lane's logits of `column` from position `base` on; negative infinity at and behind `end`, and for a column behind
    /// the last.
    ///
    /// # Safety
    /// As [`Folding::chunk`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn logits(
        &self,
        left: &Fold,
        sequence: &Sequence,
        column: u32,
        base: u32,
        end: u32,
    ) -> [f32; AT_A_TIME] {
        let mut logits = [f32::NEG_INFINITY; AT_A_TIME];
        if column < self.columns {
            let first = sequence.logits(left, column) + u64::from(base);
            for i in 0..AT_A_TIME {
                let ahead = WARP * i as u32;
                if base + ahead < end {
                    // SAFETY: the position is one of the sequence's.
                    logits[i] = unsafe { left.logits.load(first + u64::from(ahead)) };
                }
            }
        }
        logits
    }
}

/// Folds what the last source left: the body of the `fold` kernel, with `W` warps in a block.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; the grid is
/// `[splits, batch, 1]`, and the block has shared memory for two floats for each column.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn fold<const W: usize>(params: &FoldParams) {
    // SAFETY: the caller's promise.
    let Some(sequence) = (unsafe { Sequence::of_block(&params.sequences) }) else { return };
    // SAFETY: the caller's promise.
    let folding = unsafe { Folding::prepare(&params.last, &sequence, 0, W as u32) };
    barrier::block_sync();
    // SAFETY: the caller's promise; the normalisers are visible since the barrier, and each chunk is one warp's.
    unsafe { folding.chunks(&params.last, &sequence, Chunks::of_warp(&sequence, W as u32)) };
}
