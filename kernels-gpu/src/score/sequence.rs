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

/// What the arrays say of the calling block's sequence, as yet unchecked.
pub(super) struct Found {
    length: i32,
    map_start: i32,
    map_end: i32,
    slot: i32,
}

impl Found {
    /// Loads it. Nothing waits for these loads until it is [checked](Found::check).
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented, the array of slots holds an item for each sequence or is null,
    /// and the grid has one y for each sequence.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn load(sequences: &Sequences, slots: Global<i32>) -> Self {
        let place = u64::from(block_y());
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                length: sequences.lengths.load(place),
                map_start: sequences.map_starts.load(place),
                map_end: sequences.map_starts.load(place + 1),
                slot: if slots.is_null() { place as i32 } else { slots.load(place) },
            }
        }
    }

    /// The sequence, and the slot of its captured queries, one of `slots`, or nothing where there are none. Nothing at all
    /// where its length or its part of the map is not as documented.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn check(&self, sequences: &Sequences, slots: u32) -> Option<(Sequence, Option<u32>)> {
        let sequence = Sequence {
            index: block_y(),
            length: self.length.cast_unsigned(),
            map_start: self.map_start.cast_unsigned(),
            status: sequences.status,
        };
        if self.length < 0 {
            sequence.report_once(Fault::Length);
            return None;
        }
        // The difference is taken only once both ends are known not to wrap it.
        let ascending = self.map_start >= 0
            && self.map_start <= self.map_end
            && self.map_end.cast_unsigned() <= sequences.map_capacity;
        if !ascending || self.map_end - self.map_start < self.length {
            sequence.report_once(Fault::Map);
            return None;
        }
        let slot = self.slot.cast_unsigned();
        if self.slot >= 0 && slot >= slots {
            sequence.report_once(Fault::Slot);
        }
        Some((sequence, (slot < slots).then_some(slot)))
    }
}

impl Sequence {
    /// The place, in the workspace, of the exponentials of column group `group` at the sequence's position 0: a multiple of 4.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn exponentials(&self, workspace: &Fold, group: u32) -> u64 {
        let part = layout::part_start(self.map_start, self.index) * u64::from(workspace.group_capacity);
        let positions = u64::from(self.length.next_multiple_of(layout::GRAIN));
        (part + u64::from(group) * positions) << workspace.format().words_log2()
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
