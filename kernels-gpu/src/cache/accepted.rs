//! The list of a sequence's accepted rows, which a warp reads together.

use super::{params::CompactParams, sequence::Sequence};
use crate::{
    fault::Fault,
    simt::{
        Global, WARP, shuffle,
        thread::{block_y, lane},
        vote,
    },
};

/// What a warp knows of a list: the entries before `place` have been looked at.
pub(super) struct Accepted {
    entries: Global<i32>,
    /// Entries that the list has room for.
    capacity: u32,
    /// Entries, as far as they are known to be rows.
    count: i32,
    counted: bool,
    /// The entry before `place`, or -1.
    before: i32,
    place: u32,
    /// The entry that lies as many places behind `place` as the calling lane's number says.
    entry: i32,
}

/// Moves of up to 32 rows, one of each lane: the item offsets, in each cache, of the token's place and of its new one.
pub(super) struct Moves {
    pub(super) from: u64,
    pub(super) to: u64,
    /// The lanes that have one, a bit each.
    pub(super) lanes: u32,
}

impl Accepted {
    /// Loads what is known of the calling block's list.
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented, and the grid has one y for each sequence.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of_block(params: &CompactParams) -> Self {
        let index = u64::from(block_y());
        let capacity = params.accepted_capacity;
        let counted = !params.accepted_counts.is_null();
        let mut list = Self {
            entries: Global::at(params.accepted.item(index * params.accepted_stride)),
            capacity,
            count: capacity.cast_signed(),
            counted,
            before: -1,
            place: 0,
            entry: -1,
        };
        // SAFETY: the caller's promise.
        unsafe {
            list.load();
            if counted {
                list.count = params.accepted_counts.load(index);
            }
        }
        list
    }

    /// Loads the lanes' entries.
    ///
    /// # Safety
    /// As [`Accepted::of_block`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn load(&mut self) {
        let place = self.place + lane();
        if place < self.capacity {
            // SAFETY: the caller's promise; the list has room for the entry.
            self.entry = unsafe { self.entries.load(u64::from(place)) };
        }
    }

    /// Reports a count that is at fault: then no entries are looked at.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn check_count(&mut self, params: &CompactParams, sequence: &Sequence) {
        if self.count < 0 || self.count > self.capacity.cast_signed() {
            if sequence.speaks {
                params.step.report(Fault::Accepted, sequence.index);
            }
            self.count = 0;
        }
    }

    /// Whether there are more entries.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn has_more(&self) -> bool {
        self.place < self.count.cast_unsigned()
    }

    /// The moves of the next 32 entries. Rows that stay in their places have none, nor have those without a place.
    ///
    /// # Safety
    /// As [`Accepted::of_block`]. All lanes of the warp take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn next(&mut self, params: &CompactParams, sequence: &Sequence) -> Moves {
        let place = self.place + lane();
        let is_entry = place < self.count.cast_unsigned();
        let entry = if is_entry { self.entry } else { -1 };
        let below = shuffle::shuffle_up(entry.cast_unsigned(), 1).cast_signed();
        let ascends = entry > if lane() == 0 { self.before } else { below };
        let ending = vote::ballot(!ascends || entry >= sequence.rows.cast_signed());
        let sound = ending.trailing_zeros();
        // A negative entry ends a list without a count, and is no fault.
        let is_fault = is_entry && (self.counted || entry >= 0);
        if lane() == sound && is_fault && sequence.speaks {
            params.step.report(Fault::Accepted, sequence.index);
        }
        let row = entry.cast_unsigned();
        let mut moves = Moves { from: 0, to: 0, lanes: 0 };
        let mut has_place = false;
        if lane() < sound && row != place {
            // SAFETY: the caller's promise.
            let (source, target) =
                unsafe { (sequence.look_up(&params.step, row), sequence.look_up(&params.step, place)) };
            let (source, target) =
                (sequence.place(&params.step, source), sequence.place(&params.step, target));
            if let (Some(source), Some(target)) = (source, target) {
                (moves.from, moves.to, has_place) = (source, target, true);
            }
        }
        moves.lanes = vote::ballot(has_place);
        self.before = shuffle::shuffle_index(row, WARP - 1).cast_signed();
        self.place += WARP;
        if ending == 0 {
            // SAFETY: the caller's promise.
            unsafe { self.load() };
        } else {
            self.count = 0;
        }
        moves
    }
}
