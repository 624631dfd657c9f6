//! From positions to rows in shared memory: the block table's look-up, and the copies.
//!
//! A ring of slots holds the gathered tiles; keys and values of a tile take one slot each, in turn. *Fill* `2t` is
//! the keys of tile `t`, fill `2t + 1` its values; fill `f` goes to slot `f % stages`.

use super::{params::Params, shape::Shape, smem::swizzled, task::Task};
use crate::{
    fault::Fault,
    simt::{Shared, cp_async, thread::thread_index},
};

/// The threshold of a token that no column sees.
const HIDDEN: u32 = u32::MAX;

/// Where a token's rows lie, and who sees it.
#[derive(Clone, Copy)]
pub(super) struct Token {
    /// Item offset of the token's row, without the KV head, in both caches.
    offset: u64,
    /// First query column of the sequence that sees it.
    threshold: u32,
}

/// The token of the sequence's list that this thread looks up for `tile`, the `pass`th of its share.
///
/// # Safety
/// The arrays that the parameters name are as documented.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn resolve<G: Shape>(params: &Params, task: &Task, tile: u32, pass: u32) -> Token {
    let hidden = Token { offset: 0, threshold: HIDDEN };
    let token = task.begin + tile * G::TOKENS + pass * G::THREADS + thread_index();
    if token >= task.end {
        return hidden;
    }
    let (position, threshold) = if token < task.set_size {
        // SAFETY: the set size is at most the set's capacity.
        let position =
            unsafe { params.set.load(u64::from(task.sequence) * params.set_stride + u64::from(token)) };
        if position as u32 >= task.length {
            task.report(params, Fault::Position);
            return hidden;
        }
        (position as u32, 0)
    } else {
        let own = token - task.set_size;
        (task.length + own, own * params.group)
    };
    let page_index = position >> params.page_shift;
    if page_index >= params.table_width {
        task.report(params, Fault::Length);
        return hidden;
    }
    // SAFETY: the index is below the table's width.
    let page = unsafe {
        params.block_table.load(u64::from(task.sequence) * params.table_stride + u64::from(page_index))
    };
    if page as u32 >= params.pages {
        task.report(params, Fault::Page);
        return hidden;
    }
    let slot = position & ((1 << params.page_shift) - 1);
    Token { offset: page as u64 * params.page_stride + u64::from(slot) * params.token_stride, threshold }
}

/// Passes in which the block's threads look up one tile.
const fn passes<G: Shape>() -> u32 {
    G::TOKENS.div_ceil(G::THREADS)
}

/// A tile's tokens in the registers of the block, on their way to shared memory.
#[derive(Clone, Copy)]
pub(super) struct Lookup([Token; 2]);

impl Lookup {
    /// Starts the look-up of `tile`. The loads are under way until [`Lookup::store`] needs them.
    ///
    /// # Safety
    /// As [`resolve`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn start<G: Shape>(params: &Params, task: &Task, tile: u32) -> Self {
        const { assert!(passes::<G>() <= 2, "a thread looks up at most two tokens of a tile") };
        // SAFETY: the caller's promise.
        let first = unsafe { resolve::<G>(params, task, tile, 0) };
        if passes::<G>() == 1 {
            return Self([first, first]);
        }
        // SAFETY: the caller's promise.
        Self([first, unsafe { resolve::<G>(params, task, tile, 1) }])
    }

    /// Writes the tokens of `tile` to shared memory. Readers need a barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn store<G: Shape>(self, tile: u32) {
        let offsets = Shared::<u64>::at(G::PLAN.offsets);
        let thresholds = Shared::<u32>::at(G::PLAN.thresholds);
        let base = tile % G::PLAN.offset_tiles * G::TOKENS;
        for pass in 0..passes::<G>() {
            let local = pass * G::THREADS + thread_index();
            if local < G::TOKENS {
                let token = self.0[pass as usize];
                // SAFETY: both arrays hold `offset_tiles` tiles; a barrier separates this from the last readers of
                // the tile that stood there, which has been scored and copied.
                unsafe {
                    offsets.store(base + local, token.offset);
                    thresholds.store(base + local, token.threshold);
                }
            }
        }
    }
}

/// Starts the copies of fill `fill` of the ring: one tile of keys or of values, `BATCH` rows of a thread at a time.
/// Whole groups of 16 tokens are copied; hidden tokens are zeros.
///
/// # Safety
/// The tile's tokens have been stored before a barrier, the slot is free, and the caches are as documented.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn copy_rows<G: Shape, const BATCH: usize>(params: &Params, task: &Task, fill: u32) {
    let tile = fill / 2;
    let tokens = (task.end - task.begin).saturating_sub(tile * G::TOKENS).min(G::TOKENS).next_multiple_of(16);
    let cache = if fill.is_multiple_of(2) { params.key } else { params.value };
    let word = thread_index() % G::WORDS;
    let lane_row = thread_index() / G::WORDS;
    let rows_per_pass = const { G::THREADS / G::WORDS };
    const {
        // The other head size's batch is compiled too, and never called.
        let called = BATCH as u32 == G::WORDS / 2;
        assert!(
            !called || G::TOKENS.is_multiple_of(G::THREADS / G::WORDS * BATCH as u32),
            "whole batches of rows make up a tile"
        );
    }
    let source = cache.item(u64::from(task.kv_head) * params.kv_head_stride + u64::from(word * 8));
    let slot = Shared::<u32>::at(G::PLAN.ring + fill % G::TILE.stages * G::PLAN.slot);
    let offsets = Shared::<u64>::at(G::PLAN.offsets);
    let thresholds = Shared::<u32>::at(G::PLAN.thresholds);
    let base = tile % G::PLAN.offset_tiles * G::TOKENS;

    for batch in 0..G::TOKENS / rows_per_pass / BATCH as u32 {
        let row = |i: usize| (batch * BATCH as u32 + i as u32) * rows_per_pass + lane_row;
        // All look-ups of a batch come before its first copy, so that their latencies overlap.
        let mut row_offsets = [0; BATCH];
        let mut row_thresholds = [HIDDEN; BATCH];
        for i in 0..BATCH {
            // SAFETY: the row lies in the tile, whose tokens have been stored.
            unsafe {
                row_offsets[i] = offsets.load(base + row(i));
                row_thresholds[i] = thresholds.load(base + row(i));
            }
        }
        for i in 0..BATCH {
            if row(i) < tokens {
                let to = slot.byte(swizzled(row(i), word, G::HEAD_DIM));
                let from = source + 2 * row_offsets[i];
                // SAFETY: the slot holds `TOKENS` rows and is free; a token that is not hidden lies in the cache.
                unsafe { cp_async::copy_16(to, from, row_thresholds[i] != HIDDEN) };
            }
        }
    }
}

/// [`copy_rows`], as many rows at a time as a thread copies of a tile of one token group: half the words of a row.
///
/// # Safety
/// As [`copy_rows`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn fill<G: Shape>(params: &Params, task: &Task, fill: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        if G::HEAD_DIM == 128 {
            copy_rows::<G, 8>(params, task, fill);
        } else {
            copy_rows::<G, 4>(params, task, fill);
        }
    }
}

/// Starts the copies of the block's queries; columns behind the last are zeros.
///
/// # Safety
/// The queries are as documented.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn fill_queries<G: Shape>(params: &Params, task: &Task) {
    let query = Shared::<u32>::at(G::PLAN.query);
    let mut index = thread_index();
    while index < G::COLUMNS * G::WORDS {
        let (local, word) = (index / G::WORDS, index % G::WORDS);
        let column = task.first_column + local;
        let (row, head) = task.row_and_head(params, column);
        let item = row * params.query_row_stride + head * params.query_head_stride + u64::from(word * 8);
        // SAFETY: the region holds `COLUMNS` rows; a column below the sequence's count has a row and a head.
        unsafe {
            cp_async::copy_16(
                query.byte(swizzled(local, word, G::HEAD_DIM)),
                params.query.item(item),
                column < task.columns,
            );
        }
        index += G::THREADS;
    }
}
