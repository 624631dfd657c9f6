//! The body of the `logits` kernel.

use super::{
    config,
    fold::Folding,
    heads::{Group, Heads},
    keys::{Producer, Ring},
    params::{Fold, Params},
    sequence::Sequence,
    smem::{COLUMN_GROUP, Plan},
    sums::Running,
    tile::Tile,
    walk::{Chunks, Walk},
};
use crate::simt::{
    Element, barrier, cp_async,
    thread::{self, lane},
};

/// Logits of one source: see [`super`]. Head size `D`, `W` warps, tiles of `H` groups of 8 tokens, `U` of them in a warp's
/// ring; `J` = `D / 32`, `N` = `2 · H`. Each warp serves whole chunks.
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
>(
    params: &Params,
) {
    const { assert!(J == D / 32 && N == 2 * H) };
    let Params { sequences, cache, slots, source, own, before } = params;
    let shape = config::Tile { warps: W as u32, groups: H as u32, depth: U as u32 };
    let plan = Plan::new(shape, D as u32, source.kv_groups, source.column_groups, before.columns);
    // SAFETY: the caller's promise.
    let Some(sequence) = (unsafe { Sequence::of_block(sequences) }) else { return };
    // SAFETY: the caller's promise.
    let slot = unsafe { sequence.slot(slots.slots, slots.capacity) };
    sequence.check_length(cache);

    let heads = Heads { table: plan.groups, queries: plan.queries, threads: shape.threads() };
    let chunks = Chunks::of_warp(&sequence, W as u32);
    let Some(slot) = slot else {
        if before.columns > 0 {
            // SAFETY: all sources have the same slots, so that nothing was left; each chunk is one warp's.
            unsafe { Folding::of_nothing(before).chunks(before, &sequence, chunks) };
        }
        return;
    };
    // SAFETY: the caller's promise; the barrier comes before every use.
    unsafe { heads.store_groups(cache, slots.tokens, source) };
    barrier::block_sync();

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
    let folding = unsafe {
        heads.store_queries::<J>(slots, source, slot);
        Folding::prepare(before, &sequence, plan.norms, W as u32)
    };
    barrier::block_sync();

    let running = Running { offset: plan.running, threads: shape.threads() };
    let mut chunk = chunks.first;
    let mut stage = 0;
    while let Some((begin, end)) = chunks.range(chunk) {
        if before.columns > 0 {
            // SAFETY: the normalisers are visible since the barrier; each chunk is one warp's. The lanes that read a place of the
            // workspace are not those that write it, behind the warp's next barrier.
            unsafe { folding.chunk(before, &sequence, begin, end) };
        }
        running.reset(source.column_groups);
        let readable = end.min(sequence.readable(cache));
        let mut position = begin;
        while position < end {
            for index in 0..source.kv_groups {
                // The tile's keys are in, and every lane is done with those of the last one.
                cp_async::wait_pending(U as u32 - 2);
                barrier::warp_sync();
                // SAFETY: the place of the last tile is free; queries and this tile's keys are visible to all lanes.
                unsafe {
                    producer.next();
                    let group = heads.group(index);
                    let tile = Tile { stage, position, end: readable, masked: producer.masked };
                    for columns in 0..group.columns.div_ceil(COLUMN_GROUP) {
                        let place = group.first_group + columns;
                        let logits = tile.logits::<E, H, J, U, N>(cache, &sequence, heads, ring, place);
                        let mut sums = running.load(place);
                        sums.add(group.columns - columns * COLUMN_GROUP, &logits);
                        running.store(place, sums);
                        store::<H, N>(own, &sequence, &group, columns * COLUMN_GROUP, position, &logits);
                    }
                }
                stage = (stage + 1) % U as u32;
            }
            position += Ring::<H, J, U>::TOKENS;
        }
        for index in 0..source.kv_groups {
            // SAFETY: the group is one of the source's; the workspace has room for the chunk.
            unsafe { write_sums(own, &sequence, &heads.group(index), running, chunk) };
        }
        chunk += chunks.stride;
    }
}

/// Writes a tile's logits of the 16 columns of `group` from `first` on. Behind the sequence's end, up to the end of the tile,
/// they are negative infinity.
///
/// # Safety
/// The workspace has room for the sequence, the columns and the tile, which are the warp's alone.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn store<const H: usize, const N: usize>(
    own: &Fold,
    sequence: &Sequence,
    group: &Group,
    first: u32,
    position: u32,
    logits: &[[f32; N]; 2],
) {
    for row in 0..2 {
        let column = first + lane() / 4 + 8 * row as u32;
        if column < group.columns {
            let place =
                sequence.logits(own, group.first_column + column) + u64::from(position + lane() % 4 * 2);
            for h in 0..H {
                let pair = [logits[row][2 * h], logits[row][2 * h + 1]];
                // SAFETY: the caller's promise; these two are the lane's.
                unsafe { own.logits.store_pair(place + 8 * h as u64, pair) };
            }
        }
    }
}

/// Writes the warp's sums of the columns of `group` as those of chunk `chunk`.
///
/// # Safety
/// The workspace has room for the sequence, the columns and the chunk. All 32 lanes take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn write_sums(own: &Fold, sequence: &Sequence, group: &Group, running: Running, chunk: u32) {
    for columns in 0..group.columns.div_ceil(COLUMN_GROUP) {
        let (column, sum) = running.load(group.first_group + columns).of_warp();
        let column = column.map(|column| columns * COLUMN_GROUP + column);
        if let Some(column) = column
            && column < group.columns
        {
            let place = sequence.sums(own, group.first_column + column, chunk);
            // SAFETY: the caller's promise.
            unsafe {
                own.sums.store(place, sum.base);
                own.sums.store(place + 1, sum.sum);
            }
        }
    }
}
