//! The kernel that writes a step's own rows.

use super::{
    params::AppendParams,
    sequence::{Lookup, Sequence, word},
};
use crate::simt::{
    WARP, grid,
    thread::{block_x, thread_index},
};

/// Writes keys and values of the step's rows to their places in one layer's caches, and the rows' queries to where attention
/// reads them: by blocks of `W` warps. Where `O`, the launch may overlap the one before.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape and aligned to 16 bytes where its items have 16
/// bits, until the launch has ended; nobody writes them or accesses the rows' places meanwhile. The grid is
/// `[blocks, batch, 1]`, with a thread for each column of as many rows as one sequence may have.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn append<const W: u32, const O: bool>(params: &AppendParams) {
    if O {
        // What starts now and needs more than what all layers share waits for the end of this launch, which comes behind
        // the end of the launch before.
        grid::launch_dependents();
    }
    let step = &params.step;
    let item = block_x() * W * WARP + thread_index();
    let columns = params.columns();
    let (row, column) = (item / columns, item % columns);
    // SAFETY: the caller's promise.
    let found = unsafe {
        Sequence::of_block(step, item == 0, column == 0)
            .filter(|sequence| row < sequence.rows)
            .map(|sequence| (sequence, sequence.look_up(step, row)))
    };
    if O {
        // So far nothing has been read but lengths, row ranges and tables, and nothing written but the status word. Threads
        // that have nothing to do wait, too: the end of the launch says that the one before has ended.
        grid::wait();
    }
    let Some((sequence, lookup)) = found else { return };
    let source = u64::from(sequence.first_row + row);
    // SAFETY: the caller's promise; the row is one of the batch's, and the column one of the token's or of the queries'.
    unsafe {
        match column.checked_sub(step.columns()) {
            None => write_token(params, &sequence, lookup, source, column),
            Some(column) => copy_query(params, source, column),
        }
    }
}

/// Writes the words of `column` of the batch's row `row` to the place that was looked up, if there is one.
///
/// # Safety
/// As [`append`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn write_token(params: &AppendParams, sequence: &Sequence, lookup: Lookup, row: u64, column: u32) {
    let step = &params.step;
    let (head, first) = step.head_and_item(column);
    let key = row * params.key_row_stride + head * params.key_head_stride + first;
    let value = row * params.value_row_stride + head * params.value_head_stride + first;
    // SAFETY: the caller's promise. These loads return while the page is looked up.
    let (key, value) = unsafe { (word(params.key, key).load(0), word(params.value, value).load(0)) };
    if let Some(token) = sequence.place(step, lookup) {
        let place = token + head * step.kv_head_stride + first;
        // SAFETY: the page lies in the cache; each word is one thread's.
        unsafe {
            word(params.key_cache, place).store(0, key);
            word(params.value_cache, place).store(0, value);
        }
    }
}

/// Copies the word of `column` of the queries of the batch's row `row`.
///
/// # Safety
/// As [`append`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn copy_query(params: &AppendParams, row: u64, column: u32) {
    let (head, first) = params.step.head_and_item(column);
    let from = row * params.query_row_stride + head * params.query_head_stride + first;
    let to = row * params.query_copy_row_stride + head * params.query_copy_head_stride + first;
    // SAFETY: the caller's promise; each word is one thread's.
    unsafe { word(params.query_copy, to).store(0, word(params.query, from).load(0)) };
}
