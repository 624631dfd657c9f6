//! What one block has to do: its sequence, heads, query columns and tokens.

use super::{params::Params, shape::Shape};
use crate::{
    fault::Fault,
    simt::{
        atomic,
        thread::{block_x, block_y, block_z, thread_index},
    },
};

/// One block's share of a launch. All values are the same in every thread of the block.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) sequence: u32,
    pub(super) kv_head: u32,
    pub(super) chunk: u32,
    pub(super) split: u32,
    /// First query row of the sequence in the batch.
    pub(super) first_row: u32,
    /// First query column of the block, counted in the sequence's rows and the KV head's group.
    pub(super) first_column: u32,
    /// Query columns of the sequence for this KV head.
    pub(super) columns: u32,
    /// Confirmed length.
    pub(super) length: u32,
    /// Positions in the set that are read.
    pub(super) set_size: u32,
    /// The step's own rows that are read.
    pub(super) rows: u32,
}

impl Task {
    /// The calling block's task; nothing where its columns or its sequence have no rows.
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of_block<G: Shape>(params: &Params) -> Option<Self> {
        let chunks = params.chunks.max(1);
        let chunk = block_y() % chunks;
        let mut task = Self {
            sequence: block_z(),
            kv_head: block_y() / chunks,
            chunk,
            split: block_x(),
            first_row: 0,
            first_column: chunk * G::COLUMNS,
            columns: 0,
            length: 0,
            set_size: 0,
            rows: 0,
        };
        let sequence = u64::from(task.sequence);
        // SAFETY: the grid has one z for each sequence of the batch.
        let [first, last, length, set_size] = unsafe {
            [
                params.row_starts.load(sequence),
                params.row_starts.load(sequence + 1),
                params.lengths.load(sequence),
                params.set_sizes.load(sequence),
            ]
        };

        // The difference is taken only once both ends are known not to wrap it.
        let ascending = first >= 0 && first <= last && last <= params.total_rows as i32;
        let rows = if ascending { (last - first) as u32 } else { u32::MAX };
        let has_rows = rows <= params.row_capacity;
        let rows = if has_rows { rows } else { 0 };
        if task.split == 0 && thread_index() == 0 {
            if !has_rows {
                task.report(params, Fault::Rows);
            } else if length < 0 {
                task.report(params, Fault::Length);
            }
            if has_rows && (set_size < 0 || set_size > params.set_capacity as i32) {
                task.report(params, Fault::SetSize);
            }
        }
        task.first_row = first as u32;
        task.columns = rows * params.group;
        task.length = if length < 0 { 0 } else { length as u32 };
        // Where the length is negative nobody knows where the step's own rows stand, and every token is masked.
        if length >= 0 {
            task.rows = rows;
            task.set_size = if set_size < 0 { 0 } else { (set_size as u32).min(params.set_capacity) };
        }
        (task.first_column < task.columns).then_some(task)
    }

    /// Raises the status word. One KV head and chunk speak for all.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn report(&self, params: &Params, fault: Fault) {
        if self.kv_head == 0 && self.chunk == 0 {
            // SAFETY: the status word is one item, and kernels access it by atomics alone.
            unsafe { atomic::global_max(params.status, 0, fault.word(self.sequence)) };
        }
    }

    /// Query row of the batch and query head of the sequence's column `column`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn row_and_head(&self, params: &Params, column: u32) -> (u64, u64) {
        // The host has checked that there is a group; `max` spares the division its test for zero.
        let group = params.group.max(1);
        let row = self.first_row + column / group;
        let head = self.kv_head * group + column % group;
        (u64::from(row), u64::from(head))
    }
}
