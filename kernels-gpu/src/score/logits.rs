//! The body of the `logits` kernel.

use super::{
    config,
    fold::Folding,
    heads::Heads,
    keys::{Producer, Ring},
    packed::PACKED_LOG2,
    params::{Fold, Params},
    sequence::Found,
    smem::Plan,
    sums::Running,
    walk::{Chunks, Walk},
    work::Work,
};
use crate::simt::{Element, barrier, grid, thread};

/// Exponentials and sums of one source: see [`super`]. Head size `D`, `W` warps, tiles of `H` groups of 8 tokens, `U` of them in
/// a warp's ring; `J` = `D / 32`. Each warp serves whole chunks, and folds the source before by `N` packed words to a lane at a time.
/// Where `O`, the launch may overlap the one of that source.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; the grid is
/// `[splits, batch, 1]` with `32 · W` threads, and the block has the plan's shared memory.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn logits<
    E: Element,
    const D: usize,
    const W: usize,
    const H: usize,
    const U: usize,
    const J: usize,
    const N: usize,
    const O: bool,
>(
    params: &Params,
) {
    const { assert!(J == D / 32) };
    let Params { sequences, cache, slots, source, own, before } = params;
    let shape = config::Tile { warps: W as u32, groups: H as u32, depth: U as u32, overlaps: O };
    let plan = Plan::new(shape, D as u32, source.kv_groups, own.groups, before.groups);
    if O {
        grid::launch_dependents();
    }
    let heads = Heads { table: plan.groups, queries: plan.queries, threads: shape.threads() };
    // SAFETY: the caller's promise; the barrier comes before every use of the groups.
    let found = unsafe {
        let found = Found::load(sequences, slots.slots);
        heads.store_groups(cache, slots.tokens, source);
        found
    };
    barrier::block_sync();
    let checked = found.check(sequences, slots.capacity);
    let Some((sequence, Some(slot))) = checked else {
        if O {
            // Or the end of this launch would say nothing of the end of the one before.
            grid::wait();
        }
        if let Some((sequence, None)) = checked {
            sequence.check_length(cache);
            if before.groups > 0 {
                let chunks = Chunks::of_warp(&sequence, W as u32);
                // SAFETY: all sources have the same slots, so that nothing was left; each chunk is one warp's.
                unsafe { Folding::of_nothing(before, plan.fold).chunks::<1, 1>(before, &sequence, chunks) };
            }
        }
        return;
    };
    sequence.check_length(cache);
    let chunks = Chunks::of_warp(&sequence, W as u32);

    // The first keys are on their way before the queries are asked for.
    let ring = Ring::<H, J, U> { offset: plan.keys };
    let walk = Walk::new(chunks, source.kv_groups, Ring::<H, J, U>::TOKENS);
    // SAFETY: the caller's promise; the groups are visible since the barrier, and the ring is empty.
    let mut producer = unsafe { Producer::new(cache, &sequence, heads, ring, walk) };
    for _ in 0..thread::opaque(U as u32 - 1) {
        // SAFETY: as above.
        unsafe { producer.next() };
    }
    // SAFETY: the groups are visible; the barrier comes before every use.
    unsafe { heads.store_queries::<J>(slots, source, slot) };
    if O {
        // So far nothing but the caller's arrays has been read.
        grid::wait();
    }
    // SAFETY: the caller's promise; the launch before has ended, and the barrier comes before every use.
    let folding = unsafe { Folding::prepare(before, &sequence, plan.fold, W as u32) };
    barrier::block_sync();

    let work = |width_log2| Work {
        cache,
        sequence: &sequence,
        source,
        heads,
        ring,
        producer,
        running: Running { offset: plan.running, threads: shape.threads() },
        chunks,
        own: Fold { width_log2, ..*own },
        before: Fold { width_log2, ..*before },
        folding: folding.with_width(width_log2),
    };
    // The loops are compiled for either format: to ask for it in each tile takes a fifth of their instructions.
    // SAFETY: the caller's promise; queries and normalisers are visible since the barrier, and each chunk is one warp's.
    unsafe {
        if own.width_log2 == PACKED_LOG2 {
            work(PACKED_LOG2).run::<E, N>();
        } else {
            work(own.width_log2.min(PACKED_LOG2 - 1)).run::<E, N>();
        }
    }
}
