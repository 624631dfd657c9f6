//! What a launch of the selection kernel is told.

use crate::simt::Global;

/// The size of a set that stands for all of a sequence's confirmed positions.
pub const EVERYTHING: i32 = -1;

/// The arguments of one launch. Counts of positions are multiples of `block`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The draft's importance map, `[map_capacity]`, packed by `map_starts`; null if there is no draft map.
    pub draft: Global<f32>,
    /// The target's importance map, packed alike; null for a selection from the draft's alone.
    pub target: Global<f32>,
    /// First position of each sequence's part of the maps and, last, the end, `[batch + 1]`, ascending.
    pub map_starts: Global<i32>,
    /// Confirmed lengths, `[batch]`. A negative length selects nothing.
    pub lengths: Global<i32>,
    /// The slot that the sequence's target map was scored from, `[batch]`: one that is negative or at or above
    /// `slot_capacity` means that it has none, and the latter is a fault. Null: every sequence has one.
    pub target_slots: Global<i32>,
    /// Physical page numbers, `[batch, table_width]`; null unless `physical` is written.
    pub block_table: Global<i32>,
    /// Items from one sequence's table to the next.
    pub table_stride: u64,
    /// The sets: ascending positions, `[batch, budget]`; what lies behind a set's size is left as it is.
    pub set: Global<i32>,
    /// The same tokens as numbers of physical slots (page · page size + slot in the page), `[batch, budget]`, or null.
    pub physical: Global<i32>,
    /// Items from one sequence's set to the next, in both.
    pub set_stride: u64,
    /// Positions in each set, or [`EVERYTHING`], `[batch]`.
    pub set_sizes: Global<i32>,
    /// The sticky status word: see [`Fault::word`](crate::fault::Fault::word).
    pub status: Global<u64>,
    /// Positions of the maps, for all sequences.
    pub map_capacity: u32,
    /// Slots that a target map may have been scored from; not read without `target_slots`.
    pub slot_capacity: u32,
    /// Positions that one set has room for: the budget k.
    pub budget: u32,
    /// Positions that are taken from the draft's map first: the quota m, not yet capped.
    pub quota: u32,
    /// First positions that are always taken.
    pub sinks: u32,
    /// Last positions that are always taken.
    pub recent: u32,
    /// Positions that are chosen together.
    pub block: u32,
    /// Positions that a score is averaged over, odd.
    pub pooling: u32,
    /// Sequences of at most so many positions get [`EVERYTHING`]; 0 for none.
    pub everything: u32,
    /// What a sequence without a target map gets: 1 for [`EVERYTHING`], 0 for the draft's map, or sinks and recent
    /// positions alone where there is none.
    pub without_target: u32,
    /// Pages in the cache.
    pub pages: u32,
    /// Pages in one sequence's table.
    pub table_width: u32,
    /// log2 of the page size.
    pub page_shift: u32,
}
