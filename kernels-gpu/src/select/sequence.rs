//! What a team has to know of its sequence, and which rule decides it.

use core::ops::Range;

use super::params::Params;
use crate::{
    fault::Fault,
    simt::{
        Global, atomic,
        thread::{self, block_y},
    },
};

/// The team's sequence.
#[derive(Clone, Copy)]
pub(super) struct Sequence {
    /// Its number in the batch.
    pub(super) index: u32,
    length: i32,
    map_start: i32,
    map_end: i32,
    target_slot: i32,
    status: Global<u64>,
}

/// What decides a sequence's set.
pub(super) enum Rule {
    /// The set is empty.
    Nothing,
    /// The set is the flag.
    Everything,
    /// So many positions are all taken.
    All(u32),
    /// Positions are chosen.
    Best(Free),
}

/// A sequence of more positions than the budget.
#[derive(Clone, Copy)]
pub(super) struct Free {
    length: u32,
    map_start: u32,
    has_target: bool,
}

/// Which positions are chosen. Counts are of units.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    /// Confirmed positions.
    pub(super) length: u32,
    /// First position of the sequence's part of the maps.
    pub(super) map_start: u32,
    /// Positions of a unit.
    pub(super) block: u32,
    /// Units in all, at least 2: the last one may be of fewer positions.
    pub(super) units: u32,
    /// The first unit that is not forced as a sink.
    pub(super) free_begin: u32,
    /// The first unit behind that that is forced as recent.
    pub(super) free_end: u32,
    /// How many of the free ones come from the draft's map.
    pub(super) draft: u32,
    /// How many of the rest come from the target's.
    pub(super) target: u32,
}

impl Sequence {
    /// Loads what is known of the calling block's sequence.
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented, and the grid has one y for each sequence.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of_block(params: &Params) -> Self {
        let index = block_y();
        let place = u64::from(index);
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                index,
                length: params.lengths.load(place),
                map_start: params.map_starts.load(place),
                map_end: params.map_starts.load(place + 1),
                target_slot: if params.target_slots.is_null() { 0 } else { params.target_slots.load(place) },
                status: params.status,
            }
        }
    }

    /// The first rule that applies, and what is wrong with what it looks at.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn rule(&self, params: &Params) -> (Rule, Option<Fault>) {
        let length = self.length.cast_unsigned();
        if self.length <= 0 {
            return (Rule::Nothing, (self.length < 0).then_some(Fault::Length));
        }
        if length <= params.everything {
            return (Rule::Everything, None);
        }
        // The difference is taken only once both ends are known not to wrap it.
        let ascending = self.map_start >= 0
            && self.map_start <= self.map_end
            && self.map_end.cast_unsigned() <= params.map_capacity;
        if !ascending || self.map_end - self.map_start < self.length {
            return (Rule::Nothing, Some(Fault::Map));
        }
        if length <= params.budget {
            return (Rule::All(length), None);
        }
        let beyond = !params.target_slots.is_null()
            && self.target_slot >= 0
            && self.target_slot.cast_unsigned() >= params.slot_capacity;
        let fault = beyond.then_some(Fault::Slot);
        let has_target = !params.target.is_null() && self.target_slot >= 0 && !beyond;
        if !params.target.is_null() && !has_target && params.without_target != 0 {
            return (Rule::Everything, fault);
        }
        (Rule::Best(Free { length, map_start: self.map_start.cast_unsigned(), has_target }), fault)
    }

    /// Raises the status word.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn report(&self, fault: Fault) {
        // SAFETY: the status word is one item, and kernels access it by atomics alone.
        unsafe { atomic::global_max(self.status, 0, fault.word(self.index)) };
    }
}

impl Free {
    /// The same, which the compiler must take as unknown; see [`thread::opaque`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn opaque(self) -> Self {
        Self { length: thread::opaque(self.length), ..self }
    }
}

impl Choice {
    /// That of a sequence, by units of `block` positions.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn new(params: &Params, free: Free, block: u32) -> Self {
        let Free { length, map_start, has_target } = free;
        let units = length.div_ceil(block);
        let free_begin = params.sinks.div_ceil(block).min(units);
        let first_recent =
            if params.recent == 0 { units } else { length.saturating_sub(params.recent) / block };
        let free_end = first_recent.max(free_begin);
        let forced = units - (free_end - free_begin);
        let room = (params.budget / block).saturating_sub(forced);
        let draft = match params.draft.is_null() {
            true => 0,
            // What no target's map decides, the draft's does.
            false if !has_target => room,
            false => (params.quota / block).min(room),
        };
        let target = if has_target { room - draft } else { 0 };
        Self { length, map_start, block, units, free_begin, free_end, draft, target }
    }

    /// The maps that give some: the draft's is 0, the target's 1.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn maps(&self) -> Range<u32> {
        let first = if self.draft == 0 { 1 } else { 0 };
        first..if self.target == 0 { 1 } else { 2 }
    }

    /// How many units `map` gives.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn count(&self, map: u32) -> u32 {
        if map == 0 { self.draft } else { self.target }
    }

    /// Whether `unit` is taken whatever its score.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn forces(&self, unit: u32) -> bool {
        unit < self.free_begin || unit >= self.free_end
    }
}
