//! What a block has to know of its sequence.

use super::{
    layout,
    params::{Cache, Fold, Sequences},
    smem::COLUMN_GROUP,
};
use crate::{
    fault::Fault,
    simt::{
        Global, atomic,
        thread::{block_x, block_y, thread_index},
    },
};

/// The sequence of the calling block, whose part of the map has room for it.
#[derive(Clone, Copy)]
pub(super) struct Sequence {
    /// Its number in the batch.
    pub(super) index: u32,
    /// Confirmed tokens.
    pub(super) length: u32,
    /// First position of its part of the map.
    pub(super) map_start: u32,
    status: Global<u64>,
}

impl Sequence {
    /// The calling block's sequence; nothing where its length or its part of the map is not as documented.
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented, and the grid has one y for each sequence.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of_block(sequences: &Sequences) -> Option<Self> {
        let index = block_y();
        let place = u64::from(index);
        // SAFETY: the caller's promise.
        let (length, start, end) = unsafe {
            (
                sequences.lengths.load(place),
                sequences.map_starts.load(place),
                sequences.map_starts.load(place + 1),
            )
        };
        let sequence =
            Self { index, length: length as u32, map_start: start as u32, status: sequences.status };
        if length < 0 {
            sequence.report_once(Fault::Length);
            return None;
        }
        // The difference is taken only once both ends are known not to wrap it.
        let ascending = start >= 0 && start <= end && end.cast_unsigned() <= sequences.map_capacity;
        if !ascending || end - start < length {
            sequence.report_once(Fault::Map);
            return None;
        }
        Some(sequence)
    }

    /// The slot of the sequence's captured queries; nothing where there are none.
    ///
    /// # Safety
    /// The array of slots holds an item for the sequence, or is null.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn slot(&self, slots: Global<i32>, capacity: u32) -> Option<u32> {
        if slots.is_null() {
            return Some(self.index);
        }
        // SAFETY: the caller's promise.
        let slot = unsafe { slots.load(u64::from(self.index)) };
        if slot >= capacity as i32 {
            self.report_once(Fault::Slot);
        }
        (slot >= 0 && slot < capacity as i32).then_some(slot as u32)
    }

    /// The place, in the workspace, of the exponentials of column group `group` at the sequence's position 0: a multiple of 8.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn exponentials(&self, workspace: &Fold, group: u32) -> u64 {
        let part = layout::part_start(self.map_start, self.index) * u64::from(workspace.group_capacity);
        let positions = u64::from(self.length.next_multiple_of(layout::GRAIN));
        (part + u64::from(group) * positions) << workspace.width_log2
    }

    /// The sums of column `column` of column group `group` in the chunks.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn sums(&self, workspace: &Fold, group: u32, column: u32) -> Global<u64> {
        let group = u64::from(self.index) * u64::from(workspace.group_capacity) + u64::from(group);
        let column = group * u64::from(COLUMN_GROUP) + u64::from(column);
        Global::at(workspace.sums.item(column * u64::from(layout::MAX_CHUNKS)))
    }

    /// The place of `position` in the map.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn map_item(&self, position: u32) -> u64 {
        u64::from(self.map_start) + u64::from(position)
    }

    /// The positions that the sequence's table has room for, at most its length.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn readable(&self, cache: &Cache) -> u32 {
        let capacity = u64::from(cache.table_width) << cache.page_shift;
        u64::from(self.length).min(capacity) as u32
    }

    /// Reports a length that the table has no room for.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn check_length(&self, cache: &Cache) {
        if self.length > self.readable(cache) {
            self.report_once(Fault::Length);
        }
    }

    /// The sequence's table of pages.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn table(&self, cache: &Cache) -> Global<i32> {
        Global::at(cache.block_table.item(u64::from(self.index) * cache.table_stride))
    }

    /// The page of position `token`, as the table has it.
    ///
    /// # Safety
    /// The position lies in the sequence's table.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn page(&self, cache: &Cache, token: u32) -> u32 {
        // SAFETY: the caller's promise.
        unsafe { self.table(cache).load(u64::from(token >> cache.page_shift)) }.cast_unsigned()
    }

    /// Raises the status word.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn report(&self, fault: Fault) {
        // SAFETY: the status word is one item, and kernels access it by atomics alone.
        unsafe { atomic::global_max(self.status, 0, fault.word(self.index)) };
    }

    /// Raises the status word in one thread of the sequence's.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn report_once(&self, fault: Fault) {
        if block_x() == 0 && thread_index() == 0 {
            self.report(fault);
        }
    }
}
