//! What a block has to know of its sequence.

use super::params::{Params, proposal};
use crate::{
    fault::Fault,
    simt::{atomic, thread::block_y},
};

/// The sequence of the calling block.
#[derive(Clone, Copy)]
pub(super) struct Sequence {
    /// Its number in the batch.
    pub(super) index: u32,
    /// Its first row in the batch.
    pub(super) first_row: u32,
    /// Its rows.
    pub(super) rows: u32,
    /// Its temperature; 0 where it is greedy.
    pub(super) temperature: f32,
}

impl Sequence {
    /// The calling block's sequence, without rows where they are not as documented; and what is wrong with it.
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented, and the grid has one y for each sequence.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of_block(params: &Params) -> (Self, Option<Fault>) {
        let index = block_y();
        let place = u64::from(index);
        // SAFETY: the caller's promise.
        let (first, last, temperature) = unsafe {
            (
                params.row_starts.load(place),
                params.row_starts.load(place + 1),
                params.temperatures.load(place),
            )
        };
        // The difference is taken only once both ends are known not to wrap it.
        let ascending = first >= 0 && first <= last && last <= params.total_rows.cast_signed();
        let rows = last.wrapping_sub(first).cast_unsigned();
        if !ascending || rows > params.row_capacity {
            return (Self { index, first_row: 0, rows: 0, temperature: 0.0 }, Some(Fault::Rows));
        }
        // Neither does NaN.
        let sound = temperature >= 0.0;
        let temperature = if sound { temperature } else { 0.0 };
        let sequence = Self { index, first_row: first.cast_unsigned(), rows, temperature };
        (sequence, if sound { None } else { Some(Fault::Temperature) })
    }

    /// Whether its tokens are the target's best.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Row `row` of the sequence in the batch.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn in_batch(&self, row: u32) -> u64 {
        u64::from(self.first_row + row)
    }

    /// The row of the draft's scores that the drafts behind `row` were drawn from; nothing where there is none, or where it is
    /// not needed.
    ///
    /// # Errors
    /// The draft has no such row.
    ///
    /// # Safety
    /// As [`Sequence::of_block`]; the row is one of the sequence's.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn draft_row(&self, params: &Params, row: u32) -> Result<Option<u32>, Fault> {
        if self.is_greedy() || params.proposal == proposal::CERTAIN {
            return Ok(None);
        }
        if params.draft_rows.is_null() {
            let own = self.index * (params.row_capacity - 1) + row;
            return Ok(if row + 1 < self.rows { Some(own) } else { None });
        }
        // SAFETY: the caller's promise.
        let named = unsafe { params.draft_rows.load(self.in_batch(row)) };
        if named < 0 {
            Ok(None)
        } else if named.cast_unsigned() < params.draft.rows {
            Ok(Some(named.cast_unsigned()))
        } else {
            Err(Fault::DraftRow)
        }
    }

    /// Raises the status word.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn report(&self, params: &Params, fault: Fault) {
        // SAFETY: the status word is one item, and kernels access it by atomics alone.
        unsafe { atomic::global_max(params.status, 0, fault.word(self.index)) };
    }
}
