//! The kernel that writes a step's own rows.

use super::{params::AppendParams, sequence::Sequence};
use crate::simt::{
    Global, Shared, WARP, barrier, cp_async, grid,
    thread::{self, block_x, block_z, thread_index},
};

/// Rows of a sequence that a block serves: as many words of its column a thread has in flight.
pub const ROWS: u32 = 8;

/// Bytes of shared memory in front of the words: the item offset in the caches of each row's token.
const PLACES: u32 = ROWS * 8;

/// The place of a row that has none.
const NOWHERE: u64 = u64::MAX;

/// Dynamic shared memory of a block of `warps` warps, in bytes: the rows' places and a word for each thread and row.
#[must_use]
pub const fn shared_bytes(warps: u32) -> u32 {
    PLACES + ROWS * warps * WARP * 16
}

/// Writes keys and values of the step's rows to their places in one layer's caches, and the rows' queries to where attention
/// reads them: by blocks of `W` warps. Where `O`, the launch may overlap the one before.
///
/// Attention leaves such a launch few registers and little else of a multiprocessor. So it is few blocks, whose threads each have
/// several words in flight, and these pass through shared memory: all blocks wait side by side with the attention of the layer before.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape and aligned to 16 bytes where its items have 16
/// bits, until the launch has ended; nobody writes them or accesses the rows' places meanwhile. The grid is
/// `[blocks, batch, chunks]`, with a thread along x for each column, a chunk for each [`ROWS`] rows that one sequence may have, and
/// [`shared_bytes`] for each block.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn append<const W: u32, const O: bool>(params: &AppendParams) {
    if O {
        // What starts now and needs more than what all layers share waits for the end of this launch, which comes behind
        // the end of the launch before.
        grid::launch_dependents();
    }
    let step = &params.step;
    let places = Shared::<u64>::at(0);
    let first = block_z() * ROWS;
    let leads = block_x() == 0 && block_z() == 0 && thread_index() == 0;
    // SAFETY: the caller's promise.
    let sequence = unsafe { Sequence::of_block(step, leads, block_x() == 0) };
    let mut rows = 0;
    if let Some(sequence) = sequence {
        rows = sequence.rows.saturating_sub(first).min(ROWS);
        let row = thread_index();
        if row < rows {
            // SAFETY: the caller's promise; the region has a place for each row.
            unsafe {
                let lookup = sequence.look_up(step, first + row);
                places.store(row, sequence.place(step, lookup).unwrap_or(NOWHERE));
            }
        }
    }
    if O {
        // So far nothing has been read but lengths, row ranges and tables, and nothing written but the status word. Threads
        // that have nothing to do wait, too: the end of the launch says that the one before has ended.
        grid::wait();
    }
    barrier::block_sync();
    let Some(sequence) = sequence else { return };
    let index = block_x() * W * WARP + thread_index();
    if index >= params.columns() {
        return;
    }
    let column = Column::of(params, index);
    let source = u64::from(sequence.first_row + first);
    let slots = PLACES + thread_index() * 16;
    let (mut from, stride) = column.source(params, source);
    for row in 0..thread::opaque(rows) {
        // SAFETY: the caller's promise; the slot is this thread's, and nobody has used it.
        unsafe { cp_async::copy_16(slots + row * W * WARP * 16, from, true) };
        from += stride;
    }
    cp_async::commit();
    // Taken as unknown, the column is looked at again, which keeps few registers meanwhile.
    let column = Column::of(params, thread::opaque(index));
    let (to, stride) = column.target(params, source);
    cp_async::wait::<0>();
    for row in 0..thread::opaque(rows) {
        let slot = Shared::<[u32; 4]>::at(slots + row * W * WARP * 16);
        // SAFETY: the copy has been waited for, the places since the barrier.
        let (items, place) = unsafe { (slot.load(0), places.load(row)) };
        let offset = if column.is_query() {
            u64::from(row) * stride
        } else if place == NOWHERE {
            continue;
        } else {
            2 * place
        };
        // SAFETY: the caller's promise; a place lies in the caches. Each word is one thread's.
        unsafe { Global::<[u32; 4]>::at(to + offset).store(0, items) };
    }
}

/// A word of 16 bytes that all rows have: of their keys, values or queries.
#[derive(Clone, Copy)]
struct Column {
    /// 0 for keys, 1 for values, 2 for queries.
    array: u32,
    /// The head.
    head: u64,
    /// The first of the head's items.
    item: u64,
}

impl Column {
    /// Column `index` of a row, whose keys come first, then values, then queries.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn of(params: &AppendParams, index: u32) -> Self {
        let columns = params.step.columns();
        let array = u32::from(index >= columns) + u32::from(index >= 2 * columns);
        let (head, item) = params.step.head_and_item(index - array * columns);
        Self { array, head, item }
    }

    /// Whether it is one of queries, which do not go to the caches.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn is_query(&self) -> bool {
        self.array == 2
    }

    /// Where the word of the batch's row `row` comes from, and bytes from one row to the next.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn source(&self, params: &AppendParams, row: u64) -> (u64, u64) {
        let (array, row_stride, head_stride) = match self.array {
            0 => (params.key, params.key_row_stride, params.key_head_stride),
            1 => (params.value, params.value_row_stride, params.value_head_stride),
            _ => (params.query, params.query_row_stride, params.query_head_stride),
        };
        (array.item(row * row_stride + self.head * head_stride + self.item), 2 * row_stride)
    }

    /// Where the word of the batch's row `row` goes, and bytes from one row to the next; in a cache, where that of its first token is.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn target(&self, params: &AppendParams, row: u64) -> (u64, u64) {
        let (array, row_stride, head_stride) = match self.array {
            0 => (params.key_cache, 0, params.step.kv_head_stride),
            1 => (params.value_cache, 0, params.step.kv_head_stride),
            _ => (params.query_copy, params.query_copy_row_stride, params.query_copy_head_stride),
        };
        (array.item(row * row_stride + self.head * head_stride + self.item), 2 * row_stride)
    }
}
