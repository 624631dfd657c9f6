//! What one block has to do: its sequence, heads, query columns and tokens.

use super::{
    params::{EVERYTHING, Params},
    shape::Shape,
};
use crate::{
    fault::Fault,
    simt::{
        atomic,
        thread::{self, block_x, block_y, block_z, grid_x, thread_index},
    },
};

/// One block's share of a launch. All values are the same in every thread of the block.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) sequence: u32,
    pub(super) kv_head: u32,
    /// Whether the block reports faults: one chunk speaks for all, and one KV head for those that share its set.
    speaks: bool,
    pub(super) split: u32,
    /// Splits that have tokens: as many as the set has steps of all of a block's teams, up to the grid's. The others have nothing to do.
    pub(super) splits: u32,
    /// First query row of the sequence in the batch.
    pub(super) first_row: u32,
    /// First query column of the block, counted in the sequence's rows and the KV head's group.
    pub(super) first_column: u32,
    /// Query columns of the sequence for this KV head.
    pub(super) columns: u32,
    /// Confirmed length.
    pub(super) length: u32,
    /// Tokens of the set that are read.
    pub(super) set_size: u32,
    /// Without a set's entries, how far a token's position is ahead of its index, behind the sinks; [`Task::LISTED`] where there are
    /// entries.
    skip: u32,
    /// The step's own rows that are read.
    pub(super) rows: u32,
}

impl Task {
    /// The set's entries say which tokens are read.
    const LISTED: u32 = u32::MAX;

    /// The calling block's task; nothing where its columns or its sequence have no rows, or its split has no tokens.
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of_block<G: Shape>(params: &Params) -> Option<Self> {
        let (kv_head, chunk) = params.chunks.divide(block_y());
        let mut task = Self {
            sequence: block_z(),
            kv_head,
            speaks: chunk == 0 && (kv_head == 0 || params.set_size_stride != 0),
            split: block_x(),
            splits: 1,
            first_row: 0,
            first_column: chunk * G::COLUMNS,
            columns: 0,
            length: 0,
            set_size: 0,
            skip: Self::LISTED,
            rows: 0,
        };
        let sequence = u64::from(task.sequence);
        let set = sequence * u64::from(params.sets) + u64::from(kv_head * params.set_size_stride);
        // SAFETY: the grid has one z for each sequence of the batch.
        let [first, last, length, set_size] = unsafe {
            [
                params.row_starts.load(sequence),
                params.row_starts.load(sequence + 1),
                params.lengths.load(sequence),
                if params.set_sizes.is_null() { EVERYTHING } else { params.set_sizes.load(set) },
            ]
        };

        // The difference is taken only once both ends are known not to wrap it.
        let ascending = first >= 0 && first <= last && last <= params.total_rows as i32;
        let rows = if ascending { (last - first) as u32 } else { u32::MAX };
        let has_rows = rows <= params.row_capacity;
        let rows = if has_rows { rows } else { 0 };
        task.first_row = first as u32;
        task.columns = rows * params.group.value();
        task.length = if length < 0 { 0 } else { length as u32 };
        let everything = set_size == EVERYTHING;
        let mut beyond = false;
        // Where the length is negative nobody knows where the step's own rows stand, and every token is masked.
        if length >= 0 {
            task.rows = rows;
            if everything {
                beyond = task.take_everything(params);
            } else {
                task.set_size = if set_size < 0 { 0 } else { (set_size as u32).min(params.set_capacity) };
            }
        }
        if task.split == 0 && thread_index() == 0 {
            if !has_rows {
                task.report(params, Fault::Rows);
            } else if length < 0 || (beyond && rows > 0) {
                task.report(params, Fault::Length);
            }
            if has_rows && !everything && (set_size < 0 || set_size > params.set_capacity as i32) {
                task.report(params, Fault::SetSize);
            }
        }
        task.splits = task.set_size.div_ceil(G::TILE.tokens()).clamp(1, grid_x().max(1));
        (task.first_column < task.columns && task.split < task.splits).then_some(task)
    }

    /// Takes the sinks and the recent ones of the confirmed tokens, as far as the block table has room for them; whether it has not room
    /// for all.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn take_everything(&mut self, params: &Params) -> bool {
        // The host has checked that a table has room for less than 2^31 tokens.
        let beyond = self.length.saturating_sub(params.table_width << params.page_shift);
        let tokens = self.length.min(params.sinks.saturating_add(params.recent));
        let sinks = params.sinks.min(tokens);
        let recent = tokens - sinks;
        self.skip = self.length - tokens;
        self.set_size =
            sinks.saturating_sub(beyond.saturating_sub(self.length - sinks)) + recent.saturating_sub(beyond);
        self.set_size < tokens
    }

    /// The position, or the slot, of token `index` of the set, whose entry is `entry`: beyond all others where the entry is out of
    /// range.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn place_of(&self, params: &Params, index: u32, entry: i32) -> u32 {
        if !self.is_listed() {
            return if index < params.sinks { index } else { index + self.skip };
        }
        let (entry, shift) = (entry as u32, thread::opaque(params.set_shift));
        if entry > i32::MAX as u32 >> shift {
            return u32::MAX;
        }
        (entry << shift) + (index & ((1 << shift) - 1))
    }

    /// Whether the set has entries.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn is_listed(&self) -> bool {
        self.skip == Self::LISTED
    }

    /// Whether it has, and they count slots of the cache.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn has_slots(&self, params: &Params) -> bool {
        params.set_slots != 0 && self.is_listed()
    }

    /// Raises the status word, where the block speaks.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn report(&self, params: &Params, fault: Fault) {
        if self.speaks {
            // SAFETY: the status word is one item, and kernels access it by atomics alone.
            unsafe { atomic::global_max(params.status, 0, fault.word(self.sequence)) };
        }
    }

    /// Query row of the batch and query head of the sequence's column `column`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn row_and_head(&self, params: &Params, column: u32) -> (u64, u64) {
        let (row, head) = params.group.divide(column);
        let (row, head) = (self.first_row + row, self.kv_head * params.group.value() + head);
        (u64::from(row), u64::from(head))
    }
}
