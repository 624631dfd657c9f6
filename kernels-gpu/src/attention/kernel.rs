//! The body of the attention kernel.

use super::{
    epilogue,
    gather::{self, Lookup},
    online::{self, Softmax},
    params::Params,
    products,
    shape::{Shape, Variant},
    task::Task,
};
use crate::simt::{Element, Shared, barrier, cp_async, thread};

/// Attention of one block: see [`super`]. Head size `D`, `W` warps, `M` groups of 16 tokens to a warp and tile, `C`
/// groups of 8 query columns, `S` slots in the ring, `DT` groups of 16 items of the head to a warp.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; the grid is
/// `[splits, kv_heads · chunks, batch]` with `32 · W` threads, and the block has the plan's shared memory.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn attention<
    E: Element,
    const D: usize,
    const W: usize,
    const M: usize,
    const C: usize,
    const S: usize,
    const DT: usize,
>(
    params: &Params,
) {
    // SAFETY: the caller's promise.
    unsafe { run::<E, Variant<D, W, M, C, S>, M, C, DT>(params) }
}

/// # Safety
/// As [`attention`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn run<E: Element, G: Shape, const M: usize, const C: usize, const DT: usize>(params: &Params) {
    // SAFETY: the caller's promise.
    let Some(task) = (unsafe { Task::of_block::<G>(params) }) else { return };
    let stages = G::TILE.stages;
    let lookahead = stages / 2;
    let count = task.end - task.begin;
    let tiles = count.div_ceil(G::TOKENS);
    let slot = |fill: u32| Shared::<u32>::at(G::PLAN.ring + fill % stages * G::PLAN.slot).byte(0);

    online::reset_maxima::<G>();
    for tile in 0..thread::opaque(lookahead + 1) {
        // SAFETY: the caller's promise.
        unsafe { Lookup::start::<G>(params, &task, tile) }.store::<G>(tile);
    }
    barrier::block_sync();
    // SAFETY: the caller's promise; the first tiles' tokens are stored and every slot is free.
    unsafe { gather::fill_queries::<G>(params, &task) };
    for fill in 0..thread::opaque(stages) {
        // SAFETY: as above.
        unsafe { gather::fill::<G>(params, &task, fill) };
        cp_async::commit();
    }

    let mut softmax = Softmax::<C>::new();
    let mut output = [[[0.0; 4]; C]; DT];
    for tile in 0..tiles {
        let groups = (count - tile * G::TOKENS).min(G::TOKENS).div_ceil(16);

        // The tile's keys are in, and every warp is done with the last tile's values and probabilities.
        if tile == 0 {
            cp_async::wait_pending(stages - 1);
        } else {
            cp_async::wait_pending(stages - 2);
        }
        barrier::block_sync();
        if tile > 0 {
            // SAFETY: the slot of the last tile's values is free; the fill's tokens are stored.
            unsafe { gather::fill::<G>(params, &task, 2 * tile - 1 + stages) };
            cp_async::commit();
        }
        // SAFETY: the caller's promise.
        let lookup = unsafe { Lookup::start::<G>(params, &task, tile + lookahead + 1) };
        // SAFETY: keys, queries and thresholds are visible to all since the barrier.
        let mut logits = unsafe { products::scores::<E, G, M, C>(slot(2 * tile), groups) };
        // SAFETY: as above.
        unsafe { online::mask::<G, M, C>(params, &task, &mut logits, tile) };
        online::raise_maxima::<G, M, C>(&logits);

        // All warps have raised the maxima, and are done with the tile's keys.
        barrier::block_sync();
        // SAFETY: the slot of the tile's keys is free; the fill's tokens are stored.
        unsafe { gather::fill::<G>(params, &task, 2 * tile + stages) };
        cp_async::commit();
        // SAFETY: the maxima are visible to all since the barrier.
        let factors = unsafe { softmax.advance::<G>() };
        softmax.probabilities::<E, G, M>(&logits, groups);
        for rows in &mut output {
            for (accumulator, factor) in rows.iter_mut().zip(&factors) {
                for (i, value) in accumulator.iter_mut().enumerate() {
                    *value *= factor[i % 2];
                }
            }
        }
        lookup.store::<G>(tile + lookahead + 1);

        // The tile's values are in, and all probabilities are written.
        cp_async::wait_pending(stages - 1);
        barrier::block_sync();
        // SAFETY: values and probabilities are visible to all since the barrier.
        unsafe { products::values::<E, G, C, DT>(&mut output, slot(2 * tile + 1), groups) };
    }

    if tiles == 0 {
        // A split without tokens has asked for its queries all the same, and must not end before they are in.
        cp_async::wait::<0>();
    }
    // SAFETY: all threads take part; what has been filled has been waited for, tile by tile.
    unsafe {
        epilogue::gather_block::<G, C, DT>(&softmax, &output);
        epilogue::write::<E, G>(params, &task);
    }
}
