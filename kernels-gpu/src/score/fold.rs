//! From exponentials and sums to the map.

use super::{
    norms::{LATE, Norms},
    packed::{Format, unpack},
    params::{Fold, FoldParams},
    sequence::{Found, Sequence},
    smem::{COLUMN_GROUP, FoldPlan},
    sums::Sum,
    walk::Chunks,
};
use crate::simt::{
    Global, Shared, WARP, barrier, grid, math,
    thread::{lane, warp},
};

/// Exponentials in a word of 16 bytes: packed ones, and floats.
const PACKED: usize = 8;
const FLOATS: usize = 4;

/// What is needed to fold a sequence's exponentials.
#[derive(Clone, Copy)]
pub(super) struct Folding {
    norms: Norms,
    /// Offset of the calling warp's factors.
    factors: u32,
    groups: u32,
    format: Format,
    accumulate: bool,
}

impl Folding {
    /// Prepares the normalisers by the block's `warps`: the result may be used after the block's next barrier.
    ///
    /// # Safety
    /// As [`Norms::prepare`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn prepare(left: &Fold, sequence: &Sequence, plan: FoldPlan, warps: u32) -> Self {
        let nothing = Self::of_nothing(left, plan);
        // SAFETY: the caller's promise.
        unsafe { nothing.norms.prepare(left, sequence, warps) };
        let factors = plan.factors + warp() * left.groups * COLUMN_GROUP * 4;
        Self { factors, groups: left.groups, ..nothing }
    }

    /// For a sequence without queries, whose part of the map is zero.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_nothing(left: &Fold, plan: FoldPlan) -> Self {
        Self {
            norms: Norms::at(plan),
            factors: plan.factors,
            groups: 0,
            format: left.format(),
            accumulate: left.accumulate != 0,
        }
    }

    /// The same for exponentials of which the width is told.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn with_width(self, width_log2: u32) -> Self {
        Self { format: Format { width_log2 }, ..self }
    }

    /// Folds the positions `begin .. end`, those of chunk `chunk`, with the calling warp's lanes. A lane has `N` words of 16 bytes
    /// at a time where exponentials are packed, `F` where they are floats, so that as many loads are in flight.
    ///
    /// # Safety
    /// As [`Folding::prepare`], behind the barrier; no other warp folds these positions.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn chunk<const N: usize, const F: usize>(
        &self,
        left: &Fold,
        sequence: &Sequence,
        chunk: u32,
        begin: u32,
        end: u32,
    ) {
        if self.groups == 0 && self.accumulate {
            return;
        }
        // SAFETY: the caller's promise.
        unsafe {
            if self.format.is_packed() {
                self.words::<N, PACKED, 1>(left, sequence, chunk, begin, end);
            } else {
                self.words::<F, FLOATS, FLOATS>(left, sequence, chunk, begin, end);
            }
        }
    }

    /// [`Folding::chunk`] by words of 16 bytes with `I` exponentials each. A lane has `N` of them at a time, and up to `P` positions in
    /// each.
    ///
    /// # Safety
    /// As [`Folding::chunk`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn words<const N: usize, const I: usize, const P: usize>(
        &self,
        left: &Fold,
        sequence: &Sequence,
        chunk: u32,
        begin: u32,
        end: u32,
    ) {
        // log2 of the positions of a word.
        let shift = 2 - self.format.words_log2();
        let position_of = |first: u32, i: usize| (first + WARP * i as u32) << shift;
        let load = |first: u32, group: u32| {
            let mut words = [[0; 4]; N];
            if group < self.groups {
                let start =
                    Global::<[u32; 4]>::at(left.exponentials.item(sequence.exponentials(left, group)));
                for i in 0..N {
                    if position_of(first, i) < end {
                        // SAFETY: the word's first position is one of the sequence's, and its tile was written.
                        words[i] = unsafe { start.load(u64::from(first + WARP * i as u32)) };
                    }
                }
            }
            words
        };
        let mut first = (begin >> shift) + lane();
        // The first words are on their way before what they are multiplied by is known.
        let mut ahead = load(first, 0);
        // SAFETY: the caller's promise; the warp is done with the factors of its last chunk.
        unsafe { self.find_factors(left, sequence, chunk) };
        // As many times for every lane, which the last words of some do not concern.
        while (first - lane()) << shift < end {
            let mut first_before = [0.0; N];
            for i in 0..N {
                // SAFETY: the caller's promise.
                first_before[i] = unsafe { self.before(left, sequence, position_of(first, i), end) };
            }
            let next = first + WARP * N as u32;
            let mut sums = [[0.0; P]; N];
            for group in 0..self.groups {
                let words = ahead;
                ahead = if group + 1 < self.groups { load(first, group + 1) } else { load(next, 0) };
                let factors = Shared::<[u32; 4]>::at(self.factors);
                // SAFETY: there are as many factors for each group, stored before the warp's last barrier.
                let factors = unsafe { [factors.load(2 * group), factors.load(2 * group + 1)] };
                for i in 0..N {
                    for item in 0..I {
                        let exponential = if I == PACKED {
                            unpack(words[i][item / 2])[item % 2]
                        } else {
                            f32::from_bits(words[i][item % FLOATS])
                        };
                        let factor = f32::from_bits(factors[item / 4][item % 4]);
                        sums[i][item % P] = math::fma(factor, exponential, sums[i][item % P]);
                    }
                }
            }
            for i in 0..N {
                let sums = by_position(self.format, sums[i]);
                for j in 0..P {
                    let position = position_of(first, i) + j as u32;
                    if (j as u32) < 1 << shift && position < end {
                        // SAFETY: the sequence's part of the map has room for its length; no other lane has this position.
                        unsafe {
                            let before = match j {
                                0 => first_before[i],
                                _ => self.before(left, sequence, position, end),
                            };
                            let score = math::fma(sums[j], (1_u32 << LATE) as f32, before);
                            left.map.store(sequence.map_item(position), score);
                        }
                    }
                }
            }
            first = next;
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
            let (group, column) = (place / COLUMN_GROUP, place & ((1 << self.format.width_log2) - 1));
            // SAFETY: the normalisers are visible; every chunk of every place of a column has been written.
            unsafe {
                let base = Sum::from_bits(sequence.sums(left, group, column).load(chunk.into())).base;
                let factor = self.norms.factor(group * COLUMN_GROUP + column, base, self.format);
                Shared::at(self.factors).store(place, factor);
            }
            place += WARP;
        }
        barrier::warp_sync();
    }

    /// What the score of `position` is added to: what the map has, or zero where it is to be overwritten, and behind `end`.
    ///
    /// # Safety
    /// As [`Folding::chunk`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn before(&self, left: &Fold, sequence: &Sequence, position: u32, end: u32) -> f32 {
        if self.accumulate && position < end {
            // SAFETY: the sequence's part of the map has room for its length.
            unsafe { left.map.load(sequence.map_item(position)) }
        } else {
            0.0
        }
    }

    /// Folds the warp's chunks.
    ///
    /// # Safety
    /// As [`Folding::chunk`], for each of them; where there is nothing to fold, the map's part is there, and the warp's alone.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn chunks<const N: usize, const F: usize>(
        &self,
        left: &Fold,
        sequence: &Sequence,
        chunks: Chunks,
    ) {
        let mut chunk = chunks.first;
        while let Some((begin, end)) = chunks.range(chunk) {
            // SAFETY: the caller's promise.
            unsafe { self.chunk::<N, F>(left, sequence, chunk, begin, end) };
            chunk += chunks.stride;
        }
    }
}

/// Sums of neighbours, until each of a word's positions has one. One sum alone is the position's.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn by_position<const P: usize>(format: Format, mut sums: [f32; P]) -> [f32; P] {
    for level in 0..2 {
        if P == FLOATS && format.width_log2 > level {
            for i in 0..(P / 2) >> level {
                sums[i] = sums[2 * i] + sums[2 * i + 1];
            }
        }
    }
    sums
}

/// Folds what the last source left: the body of the `fold` kernel, with `W` warps in a block. Where `O`, the launch may overlap the
/// last source's.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; the grid is
/// `[splits, batch, 1]`, and the block has the shared memory that [`FoldPlan`] says, from byte 0 on.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn fold<const W: usize, const O: bool>(params: &FoldParams) {
    let FoldParams { sequences, last } = params;
    // SAFETY: the caller's promise.
    let found = unsafe { Found::load(sequences, last.slots) };
    if O {
        grid::wait();
    }
    let Some((sequence, slot)) = found.check(sequences, last.slot_capacity) else { return };
    let plan = FoldPlan::new(0, W as u32, last.groups);
    let folding = match slot {
        // SAFETY: the caller's promise.
        Some(_) => unsafe { Folding::prepare(last, &sequence, plan, W as u32) },
        None => Folding::of_nothing(last, plan),
    };
    barrier::block_sync();
    // SAFETY: the caller's promise; the normalisers are visible since the barrier, and each chunk is one warp's.
    unsafe { folding.chunks::<4, 4>(last, &sequence, Chunks::of_warp(&sequence, W as u32)) };
}
