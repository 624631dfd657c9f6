//! The body of the `logits` kernel.

use super::{
    config::Tile,
    fold::Folding,
    heads::{Group, load_queries, store_queries},
    keys::{Chunks, Producer, place},
    layout,
    params::{Fold, Params},
    sequence::Sequence,
    smem::{COLUMN_GROUP, Plan},
    sums::Running,
};
use crate::{
    fault::Fault,
    simt::{
        Element, Word, barrier, cp_async,
        thread::{self, block_x, grid_x, lane, warp},
    },
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
    let Params { sequences, source, before, .. } = params;
    let tile = Tile { warps: W as u32, groups: H as u32, depth: U as u32 };
    let plan = Plan::new(tile, D as u32, source.kv_groups, source.column_groups, before.columns);
    // SAFETY: the caller's promise.
    let Some(sequence) = (unsafe { Sequence::of_block(sequences) }) else { return };
    // SAFETY: the caller's promise.
    let slot = unsafe { sequence.slot(source.slots, source.slot_capacity) };
    if u64::from(sequence.length) > u64::from(source.table_width) << source.page_shift {
        sequence.report_once(Fault::Length);
    }

    let chunks = Chunks {
        first: block_x() * W as u32 + warp(),
        length: sequence.length,
        tokens: layout::chunk_tokens(sequence.length),
        stride: grid_x() * W as u32,
    };
    // SAFETY: the caller's promise; the barrier comes before every use.
    unsafe { Group::store_all(source, &plan, tile.threads()) };
    barrier::block_sync();
    let Some(slot) = slot else {
        // SAFETY: the caller's promise; each chunk is one warp's.
        unsafe { fold_alone(before, &sequence, &plan, chunks, W as u32) };
        return;
    };

    // The first keys are on their way before the queries are asked for.
    // SAFETY: the caller's promise; the groups are visible since the barrier, and the ring is empty.
    let mut producer = unsafe { Producer::<H, J, U>::new(source, &sequence, &plan, chunks) };
    for _ in 0..thread::opaque(U as u32 - 1) {
        // SAFETY: as above.
        unsafe { producer.next() };
    }
    // SAFETY: the groups are visible; the barrier comes before every use.
    let folding = unsafe {
        store_queries::<J>(source, &plan, slot, tile.threads());
        Folding::prepare(before, &sequence, plan.norms, W as u32)
    };
    barrier::block_sync();
    // SAFETY: queries and normalisers are visible since the barrier; each chunk is one warp's.
    unsafe {
        let job = Job { params, plan: &plan, threads: tile.threads(), sequence: &sequence, chunks };
        job.score::<E, H, U, J, N>(&folding, producer);
    }
}

/// Folds the chunks of the source before, where there is nothing to score.
///
/// # Safety
/// As [`logits`]; no other warp has these chunks.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn fold_alone(before: &Fold, sequence: &Sequence, plan: &Plan, chunks: Chunks, warps: u32) {
    if before.columns == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    let folding = unsafe { Folding::prepare(before, sequence, plan.norms, warps) };
    barrier::block_sync();
    let mut chunk = chunks.first;
    while let Some((begin, end)) = chunks.range(chunk) {
        // SAFETY: the caller's promise; the normalisers are visible since the barrier.
        unsafe { folding.chunk(before, sequence, begin, end) };
        chunk += chunks.stride;
    }
}

/// A tile of keys in its place of the ring.
struct Keys<'a> {
    heads: &'a Group,
    slot: u32,
    position: u32,
    end: u32,
    masked: bool,
}

/// What a warp has to do.
struct Job<'a> {
    params: &'a Params,
    plan: &'a Plan,
    threads: u32,
    sequence: &'a Sequence,
    chunks: Chunks,
}

impl Job<'_> {
    /// Folds the warp's chunks of the source before, and scores them for this one.
    ///
    /// # Safety
    /// As [`logits`]; queries and normalisers are visible, no other warp has these chunks, and all but one place of the ring are
    /// filled or being filled.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn score<E: Element, const H: usize, const U: usize, const J: usize, const N: usize>(
        &self,
        folding: &Folding,
        mut producer: Producer<'_, H, J, U>,
    ) {
        let Self { sequence, chunks, plan, .. } = self;
        let Params { source, own, before, .. } = self.params;
        let running = Running::new(plan, self.threads);
        let mut chunk = chunks.first;
        let mut slot = 0;
        while let Some((begin, end)) = chunks.range(chunk) {
            if before.columns > 0 {
                // SAFETY: the caller's promise.
                unsafe { folding.chunk(before, sequence, begin, end) };
                // The lanes that read a place of the workspace are not those that write it below.
                barrier::warp_sync();
            }
            running.reset(source.column_groups);
            let mut position = begin;
            while position < end {
                for index in 0..source.kv_groups {
                    // The tile's keys are in, and every lane is done with those of the last one.
                    cp_async::wait_pending(U as u32 - 2);
                    barrier::warp_sync();
                    // SAFETY: the place of the last tile is free; this tile's keys are visible to all lanes.
                    unsafe {
                        producer.next();
                        let heads = Group::load(plan, index);
                        let keys = Keys { heads: &heads, slot, position, end, masked: producer.masked };
                        self.tile::<E, H, U, J, N>(&running, &keys);
                    }
                    slot = (slot + 1) % U as u32;
                }
                position += Producer::<H, J, U>::TOKENS;
            }
            for index in 0..source.kv_groups {
                // SAFETY: the caller's promise.
                unsafe { running.write(&Group::load(plan, index), sequence, own, chunk) };
            }
            chunk += chunks.stride;
        }
        // Nothing is in flight when the warp ends: the last groups are empty.
        cp_async::wait::<0>();
    }

    /// Writes the logits of one tile, and adds them to the running sums. Behind the sequence's end, up to the end of the tile,
    /// negative infinities are written.
    ///
    /// # Safety
    /// As [`Job::score`]; the tile's words have been waited for.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn tile<E: Element, const H: usize, const U: usize, const J: usize, const N: usize>(
        &self,
        running: &Running<'_>,
        keys: &Keys<'_>,
    ) {
        let Self { sequence, plan, .. } = self;
        let Params { source, own, .. } = self.params;
        let heads = keys.heads;
        let capacity = u64::from(source.table_width) << source.page_shift;
        let end = u64::from(keys.end).min(capacity) as u32;
        for group in 0..heads.column_groups() {
            let columns = heads.columns - group * COLUMN_GROUP;
            let mut products = [[0.0; 4]; H];
            for j in 0..J {
                // SAFETY: the queries are visible; group and word are among them; so are the keys.
                unsafe {
                    let queries = load_queries::<J>(plan, heads.first_group + group, j as u32);
                    for h in 0..H {
                        let (token, word) = (8 * h as u32 + lane() / 4, 4 * j as u32 + lane() % 4);
                        let key = <[u32; 4]>::load_shared(place::<H, J, U>(plan, keys.slot, token, word));
                        E::mma(&mut products[h], queries[0], [key[0], key[1]]);
                        E::mma(&mut products[h], queries[1], [key[2], key[3]]);
                    }
                }
            }
            let mut logits = [[0.0; N]; 2];
            for i in 0..N {
                for row in 0..2 {
                    logits[row][i] = products[i / 2][2 * row + i % 2] * source.scale_log2;
                }
            }
            if keys.masked || keys.position + 8 * H as u32 > end {
                for i in 0..N {
                    let token = keys.position + lane() % 4 * 2 + i as u32 / 2 * 8 + i as u32 % 2;
                    // SAFETY: a token before the end has a page in the table.
                    if token >= end || (keys.masked && !unsafe { sequence.has_page(source, token) }) {
                        logits[0][i] = f32::NEG_INFINITY;
                        logits[1][i] = f32::NEG_INFINITY;
                    }
                }
            }
            running.add(heads.first_group + group, columns, &logits);
            for row in 0..2 {
                let column = lane() / 4 + 8 * row as u32;
                if column < columns {
                    let column = heads.first_column + group * COLUMN_GROUP + column;
                    let first = sequence.logits(own, column) + u64::from(keys.position + lane() % 4 * 2);
                    for h in 0..H {
                        let pair = [logits[row][2 * h], logits[row][2 * h + 1]];
                        // SAFETY: the workspace has room for the column and the tile, of which these are the lane's alone.
                        unsafe { own.logits.store_pair(first + 8 * h as u64, pair) };
                    }
                }
            }
        }
    }
}
