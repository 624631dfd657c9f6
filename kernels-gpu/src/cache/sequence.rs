//! What a thread has to know of its sequence, and where the sequence's rows lie.

use super::params::{AppendParams, Step};
use crate::{
    fault::Fault,
    simt::{Global, atomic, thread::block_y},
};

impl Step {
    /// Columns of a token: words of 16 bytes in all of its KV heads.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn columns(&self) -> u32 {
        // The host has checked that there are KV heads; `max` spares divisions their test for zero.
        (self.kv_heads << self.word_shift).max(1)
    }

    /// The head of `column`, and the first of the head's items that it holds.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn head_and_item(&self, column: u32) -> (u64, u64) {
        let head = column >> self.word_shift;
        (u64::from(head), u64::from((column - (head << self.word_shift)) * 8))
    }

    /// Raises the status word.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn report(&self, fault: Fault, number: u32) {
        // SAFETY: the status word is one item, and kernels access it by atomics alone.
        unsafe { atomic::global_max(self.status, 0, fault.word(number)) };
    }
}

impl AppendParams {
    /// Columns of a row: those of its token, and behind them words of 16 bytes in all of its queries.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn columns(&self) -> u32 {
        self.step.columns() + (self.query_heads << self.step.word_shift)
    }
}

/// The sequence of the calling block.
#[derive(Clone, Copy)]
pub(super) struct Sequence {
    /// Its number in the batch.
    pub(super) index: u32,
    /// Its first row in the batch.
    pub(super) first_row: u32,
    /// Its rows in this step.
    pub(super) rows: u32,
    /// The position of its first row.
    length: u32,
    /// Whether the calling thread reports what all columns and layers meet.
    pub(super) speaks: bool,
}

impl Sequence {
    /// The calling block's sequence; nothing where its rows or its length are not as documented. The launch's first thread
    /// of each sequence `leads` all others.
    ///
    /// # Safety
    /// The arrays that the step names are as documented, and the grid has one y for each sequence.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of_block(step: &Step, leads: bool, speaks: bool) -> Option<Self> {
        let index = block_y();
        let place = u64::from(index);
        // SAFETY: the caller's promise.
        let (first, last, length) = unsafe {
            (step.row_starts.load(place), step.row_starts.load(place + 1), step.lengths.load(place))
        };
        // The difference is taken only once both ends are known not to wrap it.
        let ascending = first >= 0 && first <= last && last <= step.total_rows.cast_signed();
        let rows = last.wrapping_sub(first).cast_unsigned();
        let fault = if !ascending || rows > step.row_capacity {
            Fault::Rows
        } else if length < 0 {
            Fault::Length
        } else {
            let (first_row, length) = (first.cast_unsigned(), length.cast_unsigned());
            return Some(Self { index, first_row, rows, length, speaks });
        };
        if leads {
            step.report(fault, index);
        }
        None
    }

    /// Starts to look up the page of the sequence's row `row`.
    ///
    /// # Safety
    /// As [`Sequence::of_block`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn look_up(&self, step: &Step, row: u32) -> Lookup {
        // Lengths are below 2^31, and rows few.
        let position = self.length + row;
        let page_index = position >> step.page_shift;
        // In place of an entry that the table lacks the last one is read, so that no branch parts the look-ups.
        let entry =
            u64::from(self.index) * step.table_stride + u64::from(page_index.min(step.table_width - 1));
        // SAFETY: the caller's promise; tables have at least one entry.
        let page = unsafe { step.block_table.load(entry) }.cast_unsigned();
        Lookup { position, page }
    }

    /// The item offset, in each cache, of the token that was looked up; nothing, and a report, where it has no place.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn place(&self, step: &Step, Lookup { position, page }: Lookup) -> Option<u64> {
        let page_index = position >> step.page_shift;
        if page_index < step.table_width && page < step.pages {
            let slot = position - (page_index << step.page_shift);
            return Some(u64::from(page) * step.page_stride + u64::from(slot) * step.token_stride);
        }
        if self.speaks {
            let fault = if page_index < step.table_width { Fault::Page } else { Fault::Length };
            step.report(fault, self.index);
        }
        None
    }
}

/// A row's position, and its page as the table has it, if the table has it.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    position: u32,
    page: u32,
}

/// The word at item `offset` of `array`.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn word(array: Global<u16>, offset: u64) -> Global<[u32; 4]> {
    Global::at(array.item(offset)).words()
}
