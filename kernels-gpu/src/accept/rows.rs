//! The kernel that gathers figures of every row's scores.

use super::{
    chunk::{Chunk, NONE},
    params::{Params, Scores},
    scores::{Measure, Row},
    sequence::Sequence,
};
use crate::{
    fault::Fault,
    simt::{
        Shared, WARP, barrier, math, redux, shuffle,
        thread::{block_x, block_y, block_z, lane, thread_index, warp},
        vote,
    },
};

/// Tokens of a chunk. It is the same for all problems, so that a row's figures follow from the row alone.
pub const CHUNK: u32 = 8192;

/// Bytes of the shared memory of a block of `warps` warps: a word of 16 bytes for each.
#[must_use]
pub const fn shared_bytes(warps: u32) -> u32 {
    16 * warps
}

/// Groups of four tokens that a thread of a block of `warps` warps has, all of them in flight at once.
const fn groups(warps: u32) -> usize {
    (CHUNK / (4 * WARP * warps)) as usize
}

/// Gathers the figures of one chunk of one row of the target's scores or of the draft's: by blocks of `W` warps, `G` groups of
/// four tokens to a thread. One thread of the launch advances the step.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; nobody writes them
/// meanwhile. The grid is `[chunks, batch, 2 · row_capacity]`, and without a draft `[chunks, batch, row_capacity]`; the block has
/// the [shared memory](shared_bytes) that it needs.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn rows<const W: u32, const G: usize>(params: &Params) {
    const { assert!(groups(W) == G && W <= WARP, "threads share out a chunk, and a warp sums warps") };
    let is_first = block_x() == 0 && block_y() == 0 && block_z() == 0;
    // SAFETY: the caller's promise.
    unsafe {
        if is_first && thread_index() == 0 {
            params.step.store(0, params.step.load(0).wrapping_add(1));
        }
        let (sequence, _) = Sequence::of_block(params);
        let of_draft = block_z() >= params.row_capacity;
        let row = if of_draft { block_z() - params.row_capacity } else { block_z() };
        if row >= sequence.rows {
            return;
        }
        let place = sequence.in_batch(row) * u64::from(params.chunks) + u64::from(block_x());
        if of_draft {
            // The walk reports a row that is none.
            if let Ok(Some(scores_row)) = sequence.draft_row(params, row) {
                let chunk = chunk::<W, G>(params, &params.draft, scores_row, &sequence);
                if thread_index() == 0 {
                    params.draft_chunks.store(place, chunk.word());
                }
            }
        } else {
            let chunk = chunk::<W, G>(params, &params.target, sequence.first_row + row, &sequence);
            if thread_index() == 0 {
                params.target_chunks.store(place, chunk.word());
            }
        }
    }
}

/// The figures of the block's chunk of row `row` of `scores`, in the first warp.
///
/// # Safety
/// As [`rows`]; the row exists. All threads of the block take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn chunk<const W: u32, const G: usize>(
    params: &Params,
    scores: &Scores,
    row: u32,
    sequence: &Sequence,
) -> Chunk {
    let measure = Measure::new(scores.kind, sequence.temperature);
    let row = Row::new(scores, row, params.vocabulary);
    let first = block_x() * CHUNK + 4 * thread_index();
    let mut items = [[f32::NEG_INFINITY; 4]; G];
    for group in 0..G {
        let from = first + 4 * W * WARP * group as u32;
        if from < params.vocabulary {
            // SAFETY: the caller's promise.
            items[group] = unsafe { row.load_four(from) };
        }
    }
    let mut own = f32::NEG_INFINITY;
    let mut has_nan = false;
    for group in 0..G {
        for item in 0..4 {
            own = math::max(own, items[group][item]);
            has_nan |= items[group][item].is_nan();
        }
    }
    let mut max = own;
    let mut mask = WARP / 2;
    while mask > 0 {
        max = math::max(max, shuffle::shuffle_xor_f32(max, mask));
        mask /= 2;
    }
    let has_nan = vote::ballot(has_nan) != 0;
    // In units of the warp's own maximum: warps need not wait for each other before they sum.
    let mut sum = 0.0;
    if !sequence.is_greedy() {
        for group in 0..G {
            for item in 0..4 {
                sum += measure.weight(items[group][item], max);
            }
        }
    }
    mask = WARP / 2;
    while mask > 0 {
        sum += shuffle::shuffle_xor_f32(sum, mask);
        mask /= 2;
    }
    let mut token = NONE;
    if own == max && max > f32::NEG_INFINITY {
        for group in (0..G).rev() {
            for item in (0..4).rev() {
                if items[group][item] == max {
                    token = first + 4 * W * WARP * group as u32 + item as u32;
                }
            }
        }
    }
    let token = !redux::reduce_max(!token);
    let of_warps = Shared::<[u32; 4]>::at(0);
    // SAFETY: there is room for a word of each warp, and the barrier parts what is written from what is read.
    unsafe {
        if lane() == 0 {
            of_warps.store(warp(), Chunk { max, token, sum, has_nan }.word());
        }
        barrier::block_sync_aligned();
        if warp() > 0 {
            return Chunk::EMPTY;
        }
        let own = if lane() < W { Chunk::of_word(of_warps.load(lane())) } else { Chunk::EMPTY };
        let chunk = own.merge_lanes(measure);
        if chunk.has_nan && lane() == 0 {
            sequence.report(params, Fault::Score);
        }
        chunk
    }
}
