//! The normalisers of a source's columns.

use super::{
    layout,
    packed::Format,
    params::Fold,
    sequence::Sequence,
    smem::{COLUMN_GROUP, FoldPlan},
    sums::Sum,
};
use crate::simt::{
    Shared, WARP, math, shuffle,
    thread::{lane, warp},
};

/// Lanes that combine the sums of a column.
const HALF: u32 = WARP / 2;

/// Chunks of a column that a lane combines.
const CHUNKS: usize = (layout::MAX_CHUNKS / HALF) as usize;

/// log2 of the share of the factors that the sums of products are multiplied by: the rest keeps weights of up to 10¹² within
/// what a float holds.
pub(super) const LATE: u32 = 24;

/// For each column a base, and its weight divided by the sum relative to it, in shared memory.
#[derive(Clone, Copy)]
pub(super) struct Norms(Shared<f32>);

impl Norms {
    /// Those of `plan`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn at(plan: FoldPlan) -> Self {
        Self(Shared::at(plan.norms))
    }

    /// Combines the sums of the sequence's chunks, the columns shared out among the half warps of the block's `warps`. The result
    /// may be used after the block's next barrier.
    ///
    /// # Safety
    /// The workspace holds what the source left, of every chunk of every column: the sequence has queries, and that launch had
    /// the same lengths, slots and parts of the map. Shared memory has what the plan says, which nobody accesses before the
    /// barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn prepare(self, left: &Fold, sequence: &Sequence, warps: u32) {
        let tokens = layout::chunk_tokens(sequence.length);
        let mut pair = warp();
        while 2 * pair < left.groups * COLUMN_GROUP {
            let column = 2 * pair + lane() / HALF;
            // SAFETY: there is a weight for each place of a column.
            let weight = unsafe { left.weights.load(u64::from(column)) };
            let sums = sequence.sums(left, column / COLUMN_GROUP, column % COLUMN_GROUP);
            let first = lane() % HALF;
            let mut position = first * tokens;
            // All loads are in flight before the first is waited for.
            let mut own = [Sum::NONE; CHUNKS];
            for i in 0..CHUNKS {
                if position < sequence.length {
                    let chunk = u64::from(first) + u64::from(HALF) * i as u64;
                    // SAFETY: every chunk of every place of a column has been written.
                    own[i] = Sum::from_bits(unsafe { sums.load(chunk) });
                }
                position += HALF * tokens;
            }
            let total = of_half(own);
            if lane().is_multiple_of(HALF) {
                // A column without a weight, or without a single token that can be read, gives nothing; one that met a NaN
                // gives NaN.
                let nothing = weight == 0.0 || total.sum == 0.0;
                // SAFETY: there is room for two floats.
                unsafe {
                    self.0.store(2 * column, total.base);
                    self.0.store(2 * column + 1, if nothing { 0.0 } else { weight / total.sum });
                }
            }
            pair += warps;
        }
    }

    /// What exponentials of `column`, as `format` has them, are multiplied by where they are relative to `base`, divided by 2 to
    /// the power [`LATE`].
    ///
    /// # Safety
    /// The normalisers are prepared and visible, and the column is one of theirs.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn factor(self, column: u32, base: f32, format: Format) -> f32 {
        // SAFETY: the caller's promise.
        let (total, share) = unsafe { (self.0.load(2 * column), self.0.load(2 * column + 1)) };
        if share == 0.0 {
            // Whatever the column's logits are.
            0.0
        } else {
            share * math::exp2(base - total + (format.offset() - LATE as f32))
        }
    }
}

/// The logits of all sums of a half warp. All 32 lanes take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn of_half(own: [Sum; CHUNKS]) -> Sum {
    let mut base = own[0].base;
    for i in 1..CHUNKS {
        base = base.max(own[i].base);
    }
    for bit in 0..HALF.trailing_zeros() {
        base = base.max(shuffle::shuffle_xor_f32(base, 1 << bit));
    }
    let mut sum = 0.0;
    for i in 0..CHUNKS {
        sum += own[i].sum * math::exp2(own[i].base - base);
    }
    for bit in 0..HALF.trailing_zeros() {
        sum += shuffle::shuffle_xor_f32(sum, 1 << bit);
    }
    Sum { base, sum }
}
