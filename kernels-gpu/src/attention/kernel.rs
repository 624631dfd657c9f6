//! The body of the attention kernel.

use super::{
    epilogue,
    gather::{self, Queries, Ring},
    online::{self, Softmax},
    params::Params,
    products,
    shape::{Shape, Variant},
    share::Share,
    task::Task,
    tokens::{Ahead, First},
};
use crate::simt::{Element, WARP, barrier, cp_async, thread};

/// Attention of one block: see [`super`]. Head size `D`, `C` groups of 16 query columns, `T` teams, `N` groups of 16
/// tokens to a step, `S` slots of a ring; `K` is `D / 16`, `D8` is `D / 8`, `H` is `2 · N`.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; the grid is
/// `[splits, kv_heads · chunks, batch]` with `32 · C · T` threads, and the block has the plan's shared memory.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn attention<
    E: Element,
    const D: usize,
    const C: usize,
    const T: usize,
    const N: usize,
    const S: usize,
    const K: usize,
    const D8: usize,
    const H: usize,
>(
    params: &Params,
) {
    // SAFETY: the caller's promise.
    unsafe { run::<E, Variant<D, C, T, N, S>, K, D8, H>(params) }
}

/// # Safety
/// As [`attention`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn run<E: Element, G: Shape, const K: usize, const D8: usize, const H: usize>(params: &Params) {
    // SAFETY: the caller's promise.
    let first = unsafe { First::ask::<G>(params) };
    // SAFETY: the caller's promise.
    let Some(task) = (unsafe { Task::of_block::<G>(params) }) else { return };
    let share = Share::of_team::<G>(&task);
    let stages = G::TILE.stages;

    // SAFETY: the caller's promise. Between the links of the chain from tokens to places there is time for the queries.
    let (queries, mut ahead) = unsafe {
        let queries = Queries::start::<G>(params, &task);
        first.hand_over::<G>(params, &task, &share);
        (queries, Ahead::begin::<G>(params, &task, &share))
    };
    team_sync::<G>();
    let mut ring = Ring::of_team::<G>();
    for step in 0..thread::opaque(stages) {
        // SAFETY: the caller's promise; the first steps' tokens are handed over and every slot is free.
        unsafe { gather::fill::<G>(params, &task, &share, step, ring.slot + step * G::PLAN.slot) };
        cp_async::commit();
    }
    // SAFETY: the caller's promise.
    unsafe { ahead.advance::<G>(params, &task, &share) };
    queries.store::<G>();
    epilogue::note_outputs::<G>(params, &task);
    barrier::block_sync();
    // SAFETY: the queries are visible to all since the barrier.
    let queries = unsafe { products::queries::<G, K>() };

    let mut softmax = Softmax::new();
    let mut output = [[0.0; 4]; D8];
    cp_async::wait_pending(stages - 1);
    let mut step = 0;
    while share.has::<G>(step) {
        // The step's rows are in, the team is done with the step before, and the next tokens are handed over.
        team_sync::<G>();
        if step > 0 {
            // SAFETY: the slot of the step before is free; the fill's tokens are handed over.
            unsafe { gather::fill::<G>(params, &task, &share, step + stages - 1, ring.before) };
            cp_async::commit();
        }
        // SAFETY: keys, values, queries and thresholds are visible to the team since the barrier.
        unsafe {
            let mut scores = products::scores::<E, G, K, H>(&queries, ring.slot);
            online::mask::<G, H>(&task, &mut scores, step);
            if let Some(factors) = softmax.rebase(&scores, params.scale_log2) {
                for n in 0..D8 {
                    for i in 0..4 {
                        output[n][i] *= factors[i / 2];
                    }
                }
            }
            let probabilities = softmax.probabilities::<E, H>(&scores, params.scale_log2);
            products::values::<E, G, H, D8>(&mut output, &probabilities, ring.slot + G::PLAN.slot / 2);
        }
        // SAFETY: the caller's promise; nobody reads the tokens of the step before any more.
        unsafe { ahead.hand_over::<G>(params, &task, &share, step) };
        ring.advance::<G>();
        step += 1;
        cp_async::wait_pending(stages - 2);
    }

    // SAFETY: all threads take part. No copy is under way: those of the last step have been waited for, and steps beyond it
    // have none.
    unsafe {
        epilogue::gather_block::<G, D8>(&softmax, &output);
        epilogue::write::<E, G>(params, &task);
    }
}

/// Waits for the calling warp's team.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub(super) fn team_sync<G: Shape>() {
    if G::TILE.columns == 1 {
        barrier::warp_sync();
    } else {
        barrier::named_sync(1 + G::team(), G::TILE.columns * WARP);
    }
}
