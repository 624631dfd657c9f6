//! Splits that merge through global memory: each stores its pieces, and the last to arrive merges all.

use super::{
    super::{params::Params, shape::Shape, task::Task},
    piece::Piece,
    target::Target,
};
use crate::simt::{
    Global, Shared, atomic, barrier,
    thread::{block_y, grid_y, thread_index},
};

/// Stores a piece of the split for the last one to merge.
///
/// # Safety
/// As [`write`](super::write).
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn store<G: Shape>(params: &Params, task: &Task, target: &Target, piece: &Piece) {
    let state = target.state(params, task.split);
    // SAFETY: the caller's promise; the index lies in the arrays of all splits, rows and heads.
    unsafe {
        let output = Global::<[u32; 4]>::at(params.partial_output.address());
        for half in 0..2 {
            output.store(target.word::<G>(state, half), piece.items[half].map(f32::to_bits));
        }
        if target.item == 0 {
            params.partial_sums.store(2 * state, piece.maximum);
            params.partial_sums.store(2 * state + 1, piece.sum);
        }
    }
}

/// Announces that this split has finished; whether it was the last. The last sets the count back for the next launch.
///
/// # Safety
/// As [`write`](super::write).
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn is_last<G: Shape>(params: &Params, task: &Task) -> bool {
    let verdict = Shared::<u32>::at(G::PLAN.origins);
    let counter = u64::from(task.sequence * grid_y() + block_y());
    // All partial results of the block stand before its arrival is announced.
    barrier::block_sync();
    if thread_index() == 0 {
        // SAFETY: the counter is one of the launch's, and is zero between launches; the origins are not needed
        // any more.
        unsafe {
            let before = atomic::fetch_add_acq_rel(params.arrivals, counter, 1);
            if before + 1 == task.splits {
                params.arrivals.store(counter, 0);
            }
            verdict.store(0, before + 1);
        }
    }
    barrier::block_sync();
    // SAFETY: written above by thread 0.
    unsafe { verdict.load(0) == task.splits }
}

/// A piece of all splits, merged in their order.
///
/// # Safety
/// As [`write`](super::write), and every split has arrived.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn merge<G: Shape>(params: &Params, task: &Task, target: &Target) -> Piece {
    let outputs = Global::<[u32; 4]>::at(params.partial_output.address());
    let mut merged = Piece::NOTHING;
    for split in 0..task.splits {
        let state = target.state(params, split);
        // SAFETY: the caller's promise; the index lies in the arrays of all splits, rows and heads.
        let (maximum, sum, items) = unsafe {
            (
                params.partial_sums.load(2 * state),
                params.partial_sums.load(2 * state + 1),
                [0, 1].map(|half| outputs.load(target.word::<G>(state, half))),
            )
        };
        merged.absorb(maximum, sum, items);
    }
    merged
}
