//! The kernel that writes a step's own rows.

use super::{
    params::AppendParams,
    sequence::{Sequence, word},
};
use crate::simt::{
    WARP,
    thread::{block_x, thread_index},
};

/// Writes keys and values of the step's rows to their places in one layer's caches, by blocks of `W` warps.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape and aligned to 16 bytes where its items have 16
/// bits, until the launch has ended; nobody writes them or accesses the rows' places meanwhile. The grid is
/// `[blocks, batch, 1]`, with a thread for each column of as many rows as one sequence may have.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn append<const W: u32>(params: &AppendParams) {
    let step = &params.step;
    let item = block_x() * W * WARP + thread_index();
    let columns = step.columns();
    let (row, column) = (item / columns, item % columns);
    // SAFETY: the caller's promise.
    let Some(sequence) = (unsafe { Sequence::of_block(step, item == 0, column == 0) }) else { return };
    if row >= sequence.rows {
        return;
    }
    let (head, first) = step.head_and_item(column);
    let source = u64::from(sequence.first_row + row);
    let key = source * params.key_row_stride + head * params.key_head_stride + first;
    let value = source * params.value_row_stride + head * params.value_head_stride + first;
    // SAFETY: the caller's promise; the row is one of the batch's. These loads return while the page is looked up.
    let (key, value) = unsafe { (word(params.key, key).load(0), word(params.value, value).load(0)) };
    // SAFETY: the caller's promise.
    let lookup = unsafe { sequence.look_up(step, row) };
    if let Some(token) = sequence.place(step, lookup) {
        let place = token + head * step.kv_head_stride + first;
        // SAFETY: the page lies in the cache; each word is one thread's.
        unsafe {
            word(params.key_cache, place).store(0, key);
            word(params.value_cache, place).store(0, value);
        }
    }
}
