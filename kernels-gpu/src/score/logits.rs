//! The body of the `logits` kernel.

use super::{
    fold::Folding,
    heads::{Group, query_word, store_queries},
    keys::{Cursor, TOKENS, Tile},
    layout,
    params::Params,
    sequence::Sequence,
    smem::Plan,
    sums::Running,
};
use crate::{
    fault::Fault,
    simt::{
        Element, Shared, barrier,
        thread::{block_x, grid_x, lane, warp},
    },
};

/// Logits of one source: see [`super`]. Head size `D`, `W` warps, `U` tiles in flight, `J` = `D / 32`. Each warp serves
/// whole chunks.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; the grid is
/// `[splits, batch, 1]` with `32 · W` threads, and the block has the plan's shared memory.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn logits<E: Element, const D: usize, const W: usize, const U: usize, const J: usize>(
    params: &Params,
) {
    const { assert!(J == D / 32) };
    let Params { sequences, source, before, .. } = params;
    let threads = 32 * W as u32;
    let plan = Plan::new(threads, D as u32, source.kv_groups, source.column_groups, before.columns);
    // SAFETY: the caller's promise.
    let Some(sequence) = (unsafe { Sequence::of_block(sequences) }) else { return };
    // SAFETY: the caller's promise.
    let slot = unsafe { sequence.slot(source.slots, source.slot_capacity) };
    if u64::from(sequence.length) > u64::from(source.table_width) << source.page_shift {
        sequence.report_once(Fault::Length);
    }

    // SAFETY: the caller's promise; the barrier comes before every use.
    let folding = unsafe {
        Group::store_all(source, &plan, threads);
        Folding::prepare(before, &sequence, plan.norms, W as u32)
    };
    barrier::block_sync();
    if let Some(slot) = slot {
        // SAFETY: the groups are visible since the barrier.
        unsafe { store_queries::<J>(source, &plan, slot, threads) };
    }
    barrier::block_sync();

    let tokens = layout::chunk_tokens(sequence.length);
    let mut chunk = block_x() * W as u32 + warp();
    while chunk < layout::chunks(sequence.length) {
        let begin = chunk * tokens;
        let end = (begin + tokens).min(sequence.length);
        // SAFETY: the caller's promise; each chunk is one warp's; queries are visible since the barrier.
        unsafe {
            if slot.is_some() {
                score_chunk::<E, U, J>(params, &plan, threads, &sequence, chunk, begin, end, &folding);
            } else if before.columns > 0 {
                folding.chunk(before, &sequence, begin, end);
            }
        }
        chunk += grid_x() * W as u32;
    }
}

/// Folds a chunk of the source before, and scores it for this one.
///
/// # Safety
/// As [`logits`]; the queries are visible, and no other warp has the chunk.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn score_chunk<E: Element, const U: usize, const J: usize>(
    params: &Params,
    plan: &Plan,
    threads: u32,
    sequence: &Sequence,
    chunk: u32,
    begin: u32,
    end: u32,
    folding: &Folding,
) {
    let Params { source, own, before, .. } = params;
    let running = Running::new(plan, threads);
    // SAFETY: the caller's promise.
    let mut cursor = unsafe { Cursor::new(source, sequence, plan, begin, end) };
    // SAFETY: the caller's promise.
    let mut ahead: [Tile<J>; U] = core::array::from_fn(|_| unsafe { cursor.next() });
    running.reset(source.column_groups);
    if before.columns > 0 {
        // SAFETY: the caller's promise.
        unsafe { folding.chunk(before, sequence, begin, end) };
        // The lanes that read a place of the workspace are not those that write it below.
        barrier::warp_sync();
    }

    let steps = (end - begin).div_ceil(TOKENS) * source.kv_groups;
    let mut step = 0;
    while step < steps {
        let tiles = ahead;
        // SAFETY: the caller's promise.
        ahead = core::array::from_fn(|_| unsafe { cursor.next() });
        for u in 0..U {
            if step + (u as u32) < steps {
                // SAFETY: the caller's promise.
                unsafe { score_tile::<E, J>(params, plan, &running, sequence, &tiles[u], end) };
            }
        }
        step += U as u32;
    }
    for index in 0..source.kv_groups {
        // SAFETY: the caller's promise.
        unsafe { running.write(&Group::load(plan, index), sequence, own, chunk) };
    }
}

/// Writes the logits of one tile, and adds them to the running sums.
///
/// # Safety
/// As [`score_chunk`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn score_tile<E: Element, const J: usize>(
    params: &Params,
    plan: &Plan,
    running: &Running<'_>,
    sequence: &Sequence,
    tile: &Tile<J>,
    end: u32,
) {
    let Params { source, own, .. } = params;
    // SAFETY: the tile's group is one of the source's.
    let heads = unsafe { Group::load(plan, tile.group) };
    let queries = Shared::<[u32; 4]>::at(plan.queries);
    for group in 0..heads.column_groups() {
        let mut products = [0.0; 4];
        for j in 0..J {
            let [low, high] = tile.words[j];
            // SAFETY: the plan has a word for each lane and word of each group.
            let query = unsafe { queries.load(query_word::<J>(heads.first_group + group, j as u32)) };
            E::mma(&mut products, [low[0], high[0], low[1], high[1]], [query[0], query[1]]);
            E::mma(&mut products, [low[2], high[2], low[3], high[3]], [query[2], query[3]]);
        }
        for i in 0..4 {
            products[i] = if tile.valid[i / 2] { products[i] * source.scale_log2 } else { f32::NEG_INFINITY };
        }
        running.add(heads.first_group + group, products);
        for i in 0..4 {
            let column = group * 8 + lane() % 4 * 2 + i as u32 % 2;
            let position = tile.position + lane() / 4 + i as u32 / 2 * 8;
            if column < heads.columns && position < end {
                let place = sequence.logits(own, heads.first_column + column) + u64::from(position);
                // SAFETY: the workspace has room for the column and the position, which are this lane's alone.
                unsafe { own.logits.store(place, products[i]) };
            }
        }
    }
}
