//! Which part of the output a thread serves.

use super::super::{params::Params, shape::Shape, task::Task};
use super::piece::HALF;
use crate::simt::{
    Shared,
    thread::{self, thread_index},
};

/// Where a piece goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// Column of the block.
    pub(super) local: u32,
    /// First item of the piece's first half.
    pub(super) item: u32,
    /// Query row of the batch; [`Target::NOWHERE`] where the column is behind the sequence's last.
    pub(super) row: u32,
    /// Query head.
    pub(super) head: u32,
}

impl Target {
    /// No row.
    const NOWHERE: u32 = u32::MAX;

    /// No piece.
    const NOTHING: Self = Self { local: 0, item: 0, row: Self::NOWHERE, head: 0 };

    /// That of the calling thread's `i`th piece.
    ///
    /// # Safety
    /// [`note_columns`] has run, with a barrier behind.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of<G: Shape>(i: usize) -> Self {
        // Taken as unknown, what follows from the thread is not kept in registers since it was last computed.
        let index = thread::opaque(thread_index()) + i as u32 * G::THREADS;
        let (local, item) = (index / G::WORDS, index % G::WORDS * HALF as u32);
        if local >= G::COLUMNS {
            return Self::NOTHING;
        }
        // SAFETY: the region holds an item for each column.
        let row_and_head = unsafe { Shared::<u64>::at(G::PLAN.columns).load(2 * local) };
        Self { local, item, row: row_and_head as u32, head: (row_and_head >> 32) as u32 }
    }

    /// Whether there is a piece, and a row of the sequence's for it.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn is_somewhere(&self) -> bool {
        self.row != Self::NOWHERE
    }

    /// Index of the column's state among those of split `split`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn state(&self, params: &Params, split: u32) -> u64 {
        let row = u64::from(split) * u64::from(params.total_rows) + u64::from(self.row);
        row * u64::from(params.query_heads) + u64::from(self.head)
    }

    /// Index of the 16-byte word of the piece's half `half`, among those of all states.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn word<G: Shape>(&self, state: u64, half: usize) -> u64 {
        (state * u64::from(G::HEAD_DIM) + u64::from(self.item + half as u32 * G::HEAD_DIM / 2)) / HALF as u64
    }
}

/// Notes each column's row and head and which own rows it sees, long before there is an output. Readers need a barrier.
///
/// # Safety
/// The masks are as documented.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(in super::super) unsafe fn note_columns<G: Shape>(params: &Params, task: &Task) {
    let local = thread_index();
    if local < G::COLUMNS {
        let column = task.first_column + local;
        let mut row_and_head = u64::from(Target::NOWHERE);
        let mut mask = 0;
        if column < task.columns {
            let (row, head) = task.row_and_head(params, column);
            row_and_head = row | head << 32;
            mask = if params.masks.is_null() {
                // The rows up to its own.
                u64::MAX >> (63 - (row as u32 - task.first_row).min(63))
            } else {
                // SAFETY: the caller's promise; the row is one of the launch's.
                unsafe { params.masks.load(row) }
            };
        }
        // SAFETY: the region holds two items for each column.
        unsafe {
            Shared::<u64>::at(G::PLAN.columns).store(2 * local, row_and_head);
            Shared::<u64>::at(G::PLAN.columns).store(2 * local + 1, mask);
        }
    }
}
