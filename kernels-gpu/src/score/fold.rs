//! From exponentials and sums to the map.

use super::{
    layout,
    packed::{OFFSET, unpack},
    params::{Fold, FoldParams},
    sequence::Sequence,
    smem::{COLUMN_GROUP, FoldPlan},
    sums::Sum,
    walk::Chunks,
};
use crate::simt::{
    Shared, WARP, barrier, math,
    thread::{lane, warp},
};

/// Words of exponentials, of 16 bytes, that a lane folds at a time, so that as many loads are in flight.
const AT_A_TIME: usize = 4;

/// Exponentials in a word.
const WORD: usize = 8;

/// log2 of the share of the factors that the sums of products are multiplied by: the rest keeps weights of up to 10¹² within
/// what a float holds.
const LATE: u32 = 24;

/// What is needed to fold a sequence's exponentials: for each column the logarithm of its normaliser and its weight.
#[derive(Clone, Copy)]
pub(super) struct Folding {
    norms: Shared<f32>,
    /// Offset of the calling warp's factors.
    factors: u32,
    groups: u32,
    accumulate: bool,
}

impl Folding {
    /// Combines the sums of the sequence's chunks, the columns shared out among the block's `warps`. The result may be
    /// used after the block's next barrier.
    ///
    /// # Safety
    /// The workspace holds what the source left, of every chunk of every column: that launch had the same lengths, slots and
    /// parts of the map. Shared memory has what `plan` says, which nobody accesses before the barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn prepare(left: &Fold, sequence: &Sequence, plan: FoldPlan, warps: u32) -> Self {
        // SAFETY: the caller's promise.
        let slot = unsafe { sequence.slot(left.slots, left.slot_capacity) };
        let groups = if slot.is_some() { left.groups } else { 0 };
        let norms = Shared::<f32>::at(plan.norms);
        let chunks = layout::chunks(sequence.length);
        let mut column = warp();
        while column < groups * COLUMN_GROUP {
            // SAFETY: there is a weight for each place of a column.
            let weight = unsafe { left.weights.load(u64::from(column)) };
            let mut total = Sum::NONE;
            if weight != 0.0 {
                let mut chunk = lane();
                while chunk < chunks {
                    let place = sequence.sums(left, column / COLUMN_GROUP, column % COLUMN_GROUP, chunk);
                    // SAFETY: every chunk of every column has been written.
                    let sum = unsafe { Sum { base: left.sums.load(place), sum: left.sums.load(place + 1) } };
                    total = total.merge(sum);
                    chunk += WARP;
                }
            }
            for bit in 0..5 {
                total = total.across(1 << bit);
            }
            if lane() == 0 {
                // A column without a single token that can be read gives nothing; one that met a NaN gives NaN.
                let some = total.sum != 0.0;
                // SAFETY: there is room for two floats.
                unsafe {
                    norms.store(2 * column, if some { total.base + math::log2(total.sum) } else { 0.0 });
                    norms.store(2 * column + 1, if some { weight } else { 0.0 });
                }
            }
            column += warps;
        }
        let factors = plan.factors + warp() * groups * COLUMN_GROUP * 4;
        Self { norms, factors, groups, accumulate: left.accumulate != 0 }
    }

    /// For a sequence without queries, whose part of the map is zero.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_nothing(left: &Fold) -> Self {
        Self { norms: Shared::at(0), factors: 0, groups: 0, accumulate: left.accumulate != 0 }
    }

    /// Folds the positions `begin .. end`, those of chunk `chunk`, with the calling warp's lanes.
    ///
    /// # Safety
    /// As [`Folding::prepare`], behind the barrier; no other warp folds these positions.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn chunk(&self, left: &Fold, sequence: &Sequence, chunk: u32, begin: u32, end: u32) {
        if self.groups == 0 && self.accumulate {
            return;
        }
        // SAFETY: the caller's promise; the warp is done with the factors of its last chunk.
        unsafe { self.find_factors(left, sequence, chunk) };
        let shift = positions_shift(left);
        let mut first = (begin >> shift) + lane();
        while first << shift < end {
            let mut sums = [[0.0; WORD]; AT_A_TIME];
            // SAFETY: the group is one of the source's, if there are any.
            let mut ahead = unsafe { self.words(left, sequence, 0, first, end) };
            for group in 0..self.groups {
                let words = ahead;
                // SAFETY: as above; there are as many factors for each group, stored before the warp's last barrier.
                let factors = unsafe {
                    ahead = self.words(left, sequence, group + 1, first, end);
                    let factors = Shared::<[u32; 4]>::at(self.factors);
                    [factors.load(2 * group), factors.load(2 * group + 1)]
                };
                for i in 0..AT_A_TIME {
                    for pair in 0..WORD / 2 {
                        let exponentials = unpack(words[i][pair]);
                        for j in 0..2 {
                            let item = 2 * pair + j;
                            let factor = f32::from_bits(factors[item / 4][item % 4]);
                            sums[i][item] = math::fma(factor, exponentials[j], sums[i][item]);
                        }
                    }
                }
            }
            for i in 0..AT_A_TIME {
                let position = (first + WARP * i as u32) << shift;
                // SAFETY: the caller's promise; no other lane has these positions.
                unsafe { self.add(left, sequence, position, end, sums[i]) };
            }
            first += WARP * AT_A_TIME as u32;
        }
    }

    /// Writes what the exponentials of chunk `chunk` are multiplied by, in their order within a word.
    ///
    /// # Safety
    /// As [`Folding::chunk`]. All lanes of the warp take part, which has read the factors of its last chunk.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn find_factors(&self, left: &Fold, sequence: &Sequence, chunk: u32) {
        barrier::warp_sync();
        let mut place = lane();
        while place < self.groups * COLUMN_GROUP {
            let (group, column) = (place / COLUMN_GROUP, place & ((1 << left.width_log2) - 1));
            let norm = 2 * (group * COLUMN_GROUP + column);
            // SAFETY: the normalisers are visible; every chunk of every column that has a weight has been written.
            unsafe {
                let weight = self.norms.load(norm + 1);
                let mut factor = 0.0;
                if weight != 0.0 {
                    let base = left.sums.load(sequence.sums(left, group, column, chunk));
                    let share = base - self.norms.load(norm) + (OFFSET - LATE as f32);
                    factor = weight * math::exp2(share);
                }
                Shared::at(self.factors).store(place, factor);
            }
            place += WARP;
        }
        barrier::warp_sync();
    }

    /// Adds to, or overwrites, the map from `position` on: `sums` are of one position's columns after the other.
    ///
    /// # Safety
    /// As [`Folding::chunk`]; no other lane has these positions of the sequence.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn add(
        &self,
        left: &Fold,
        sequence: &Sequence,
        position: u32,
        end: u32,
        mut sums: [f32; WORD],
    ) {
        // Neighbours are summed until each position has one.
        for level in 0..3 {
            if left.width_log2 > level {
                for i in 0..WORD / 2 >> level {
                    sums[i] = sums[2 * i] + sums[2 * i + 1];
                }
            }
        }
        for i in 0..WORD {
            let position = position + i as u32;
            if (i as u32) < 1 << positions_shift(left) && position < end {
                let place = u64::from(sequence.map_start) + u64::from(position);
                // SAFETY: the sequence's part of the map has room for its length; the caller's promise.
                unsafe {
                    let before = if self.accumulate { left.map.load(place) } else { 0.0 };
                    left.map.store(place, math::fma(sums[i], (1_u32 << LATE) as f32, before));
                }
            }
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
            unsafe { self.chunk(left, sequence, chunk, begin, end) };
            chunk += chunks.stride;
        }
    }

    /// The lane's words of column group `group` from word `first` on; zero behind `end`, and for a group behind the last.
    ///
    /// # Safety
    /// As [`Folding::chunk`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn words(
        &self,
        left: &Fold,
        sequence: &Sequence,
        group: u32,
        first: u32,
        end: u32,
    ) -> [[u32; 4]; AT_A_TIME] {
        let mut words = [[0; 4]; AT_A_TIME];
        if group < self.groups {
            let start = sequence.exponentials(left, group) / WORD as u64;
            for i in 0..AT_A_TIME {
                let word = first + WARP * i as u32;
                if word << positions_shift(left) < end {
                    // SAFETY: the word's first position is one of the sequence's, and the tile that it lies in was written.
                    words[i] = unsafe { left.exponentials.words().load(start + u64::from(word)) };
                }
            }
        }
        words
    }
}

/// log2 of the positions whose exponentials a word holds.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn positions_shift(left: &Fold) -> u32 {
    WORD.trailing_zeros() - left.width_log2
}

/// Folds what the last source left: the body of the `fold` kernel, with `W` warps in a block.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; the grid is
/// `[splits, batch, 1]`, and the block has the shared memory that [`FoldPlan`] says, from byte 0 on.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn fold<const W: usize>(params: &FoldParams) {
    // SAFETY: the caller's promise.
    let Some(sequence) = (unsafe { Sequence::of_block(&params.sequences) }) else { return };
    let plan = FoldPlan::new(0, W as u32, params.last.groups);
    // SAFETY: the caller's promise.
    let folding = unsafe { Folding::prepare(&params.last, &sequence, plan, W as u32) };
    barrier::block_sync();
    // SAFETY: the caller's promise; the normalisers are visible since the barrier, and each chunk is one warp's.
    unsafe { folding.chunks(&params.last, &sequence, Chunks::of_warp(&sequence, W as u32)) };
}
