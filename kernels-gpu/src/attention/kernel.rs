//! The body of the attention kernel.

use core::ops::Range;

use super::{
    epilogue,
    gather::{self, Queries, Ring},
    online::{self, Softmax},
    params::Params,
    products::{self, ByGroup, ByWarp, Products},
    shape::{Shape, Variant},
    share::Share,
    task::Task,
    tokens::{Ahead, First},
};
use crate::simt::{Element, WARP, Wgmma, WgmmaShared, barrier, cp_async, fence, grid, thread};

/// Attention of one block, each warp multiplying for itself: see [`super`]. Head size `D`, `C` groups of 16 query columns, `T` teams, `N`
/// groups of 16 tokens to a step, `S` slots of a ring; launches may overlap where `O`; `K` is `D / 16`, `D8` is `D / 8`, `H` is
/// `2 · N`.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; the grid is
/// `[splits, kv_heads · chunks, batch]` with `32 · C · T` threads, and the block has the plan's shared memory.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn by_warps<
    E: Element,
    const D: usize,
    const C: usize,
    const T: usize,
    const N: usize,
    const S: usize,
    const O: bool,
    const K: usize,
    const D8: usize,
    const H: usize,
>(
    params: &Params,
) {
    // SAFETY: the caller's promise.
    unsafe { run::<E, Variant<D, C, T, N, S, O, false>, ByWarp, K, D8, H>(params) }
}

/// As [`by_warps`], where teams are of warpgroups: of 4 or 8 groups of 16 query columns, whose launches may overlap.
///
/// # Safety
/// As [`by_warps`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn by_groups<
    E: WgmmaShared<H, K> + Wgmma<D8, N>,
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
    unsafe { run::<E, Variant<D, C, T, N, S, true, true>, ByGroup<N>, K, D8, H>(params) }
}

/// # Safety
/// As [`by_warps`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn run<E, G, P, const K: usize, const D8: usize, const H: usize>(params: &Params)
where
    E: Element,
    G: Shape,
    P: Products<E, G, K, H, D8>,
{
    let stages = G::TILE.stages;
    let fill = |task: &Task, share: &Share, steps: Range<u32>| {
        for step in thread::opaque(steps.start)..thread::opaque(steps.end) {
            let slot = Ring::of_team::<G>().slot + step * G::PLAN.slot;
            if share.has_first(step) {
                // SAFETY: the caller's promise; the first steps' tokens are handed over and every slot is free.
                unsafe { gather::fill::<G>(params, task, step, slot) };
            }
            cp_async::commit();
        }
    };
    epilogue::announce::<G>();
    // SAFETY: the caller's promise.
    let (first, task) = unsafe { (First::ask::<G>(params), Task::of_block::<G>(params)) };
    let begun = task.map(|task| {
        let share = Share::of_team::<G>(&task);
        // SAFETY: the caller's promise. Between the links of the chain from tokens to places there is time for the queries.
        let (queries, ahead) = unsafe {
            let queries = if G::TILE.overlaps { Queries::NONE } else { Queries::start::<G>(params, &task) };
            first.hand_over::<G>(params, &task, &share);
            (queries, Ahead::begin::<G>(params, &task, &share))
        };
        // SAFETY: the caller's promise.
        unsafe { epilogue::note_columns::<G>(params, &task) };
        team_sync::<G>();
        fill(&task, &share, 0..share.confirmed::<G>());
        // Taken as unknown, they are counted here, where there is time for it.
        let steps = thread::opaque(share.steps::<G>());
        (task, share, steps, queries, ahead)
    });
    if G::TILE.overlaps {
        // So far nothing has been read but lengths, row ranges, sets, masks, tables and confirmed rows, and nothing written but the status
        // word. Blocks that have nothing to do wait, too: the end of the launch says that the one before has ended.
        grid::wait();
        grid::launch_dependents();
    }
    let Some((task, share, steps, mut queries, mut ahead)) = begun else {
        epilogue::stand_by::<G>();
        return;
    };
    if G::TILE.overlaps {
        // SAFETY: the caller's promise.
        queries = unsafe { Queries::start::<G>(params, &task) };
    }
    fill(&task, &share, share.confirmed::<G>()..stages);
    // SAFETY: the caller's promise.
    unsafe { ahead.advance::<G>(params, &task, &share) };
    let mut ring = Ring::of_team::<G>();
    queries.store::<G>();
    // A team alone meets before its first step, which is early enough where its warps do not load queries before.
    if G::TILE.teams > 1 || G::TILE.holds_queries(G::HEAD_DIM) {
        barrier::block_sync();
    }
    // SAFETY: the queries are visible to all who load them here since the barrier.
    let queries = unsafe { products::queries::<G, K>() };

    let mut softmax = Softmax::new();
    let mut output = [[0.0; 4]; D8];
    // Where warps multiply for themselves, those without query columns copy for their team while the others work on theirs.
    let busy = if G::TILE.wgmma { G::TILE.columns } else { gather::busy_members::<G>(&task) };
    cp_async::wait_pending(stages - 1);
    let mut step = 0;
    while step < steps {
        // The step's rows are in, the team is done with the step before, and the next tokens are handed over.
        if G::TILE.wgmma {
            fence::proxy_async();
        }
        team_sync::<G>();
        let (idle, next) = (G::member() >= busy, step + stages - 1);
        if step > 0 {
            // SAFETY: the slot of the step before is free; the next step's tokens are handed over.
            unsafe {
                if next < steps && idle {
                    gather::fill_idly::<G>(params, &task, busy, next, ring.before);
                } else if next < steps && busy == G::TILE.columns {
                    gather::fill::<G>(params, &task, next, ring.before);
                }
            }
            // Of a warp that copies nothing, too: groups are counted by steps.
            cp_async::commit();
        }
        if !idle {
            // SAFETY: keys, values, queries, origins and masks are visible to the team since the barrier.
            unsafe {
                let mut scores = P::scores(&queries, ring.slot);
                online::mask::<G, H>(&mut scores, step);
                if let Some(factors) = softmax.rebase(&scores, params.scale_log2) {
                    for n in 0..D8 {
                        for i in 0..4 {
                            output[n][i] *= factors[i / 2];
                        }
                    }
                }
                let probabilities = softmax.probabilities::<E, H>(&scores, params.scale_log2);
                P::values(&mut output, &probabilities, ring.slot + G::PLAN.slot / 2);
            }
        }
        // SAFETY: the caller's promise; nobody reads the tokens of the step before any more.
        unsafe { ahead.hand_over::<G>(params, &task, &share, step, steps) };
        ring.advance::<G>();
        step += 1;
        cp_async::wait_pending(stages - 2);
    }

    // SAFETY: all threads take part. No copy is under way: those of the last step have been waited for, and steps beyond it
    // have none.
    unsafe {
        epilogue::gather_block::<G, D8>(&task, &softmax, &output);
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
