//! The body of the `logits` kernel.

use super::{
    columns::Columns,
    config,
    fold::Folding,
    heads::Heads,
    keys::{Producer, Ring},
    params::Params,
    sequence::Found,
    smem::{COLUMN_GROUP, Plan},
    sums::Running,
    tile::Tile,
    walk::{Chunks, Walk},
};
use crate::simt::{Element, barrier, cp_async, grid, thread};

/// Exponentials and sums of one source: see [`super`]. Head size `D`, `W` warps, tiles of `H` groups of 8 tokens, `U` of them in
/// a warp's ring; `J` = `D / 32`. Each warp serves whole chunks. Where `O`, the launch may
/// overlap the one of the source before.
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
                unsafe { Folding::of_nothing(before).chunks::<1>(before, &sequence, chunks) };
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

    let running = Running { offset: plan.running, threads: shape.threads() };
    let columns = Columns::of_lane(own, &sequence);
    let mut chunk = chunks.first;
    let mut stage = 0;
    while let Some((begin, end)) = chunks.range(chunk) {
        if before.groups > 0 {
            // SAFETY: the normalisers are visible since the barrier; each chunk is one warp's. The lanes that read a place of the
            // workspace are not those that write it, behind the warp's next barrier.
            unsafe {
                // For sm_80 the registers have room for no more beside what the keys need.
                if O {
                    folding.chunk::<4>(before, &sequence, chunk, begin, end);
                } else {
                    folding.chunk::<2>(before, &sequence, chunk, begin, end);
                }
            };
        }
        running.reset(own.groups);
        let readable = end.min(sequence.readable(cache));
        let mut position = begin;
        while position < end {
            for index in 0..source.kv_groups {
                // The tile's keys are in, and every lane is done with those of the last one.
                cp_async::wait_pending(U as u32 - 2);
                barrier::warp_sync();
                // SAFETY: the place of the last tile is free; queries and this tile's keys are visible to all lanes. The workspace
                // has room for the groups and the tile, which is the warp's alone.
                unsafe {
                    producer.next();
                    let group = heads.group(index);
                    let tile = Tile { stage, position, end: readable, masked: producer.masked };
                    for place in group.first_group..group.first_group + group.columns.div_ceil(COLUMN_GROUP) {
                        let logits = tile.logits::<E, H, J, U>(cache, &sequence, heads, ring, place);
                        let mut sums = running.load(place);
                        if let Some(factors) = sums.make_room(&logits) {
                            columns.multiply(place, begin, position, factors);
                        }
                        columns.store(place, position, &sums.add(columns.format, &logits));
                        running.store(place, sums);
                    }
                }
                stage = if stage + 1 == U as u32 { 0 } else { stage + 1 };
            }
            position += Ring::<H, J, U>::TOKENS;
        }
        for group in 0..own.groups {
            let (column, sum) = running.load(group).of_warp(columns.format);
            if let Some(column) = column {
                let sums = sequence.sums(own, group, column);
                // SAFETY: the workspace has room for the sequence, the group and the chunk, which is the warp's.
                unsafe { sums.store(chunk.into(), sum.to_bits()) };
            }
        }
        chunk += chunks.stride;
    }
}
