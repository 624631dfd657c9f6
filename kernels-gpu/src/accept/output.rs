//! What a walk writes.

use super::{params::Params, sequence::Sequence};
use crate::simt::{
    WARP,
    thread::{lane, warp},
};

/// The outputs of a sequence, as far as its walk has come. One block writes them.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    params: &'a Params,
    sequence: Sequence,
    /// Whether the calling thread writes what single items are.
    leads: bool,
    /// Rows on the path.
    pub(super) rows: u32,
    /// The last of them, or -1.
    last: i32,
}

impl<'a> Output<'a> {
    /// Of a walk that has not begun.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn new(params: &'a Params, sequence: Sequence, leads: bool) -> Self {
        Self { params, sequence, leads, rows: 0, last: -1 }
    }

    /// The walk comes to `row`, whose draft is `token`; that of row 0 is none.
    ///
    /// # Safety
    /// The arrays that the parameters name are as documented; the path is no longer than the sequence has rows.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn come_to(&mut self, row: u32, token: u32) {
        let index = u64::from(self.sequence.index);
        if self.leads {
            let place = u64::from(self.rows);
            // SAFETY: the caller's promise.
            unsafe {
                self.params
                    .accepted_rows
                    .store(index * self.params.accepted_rows_stride + place, row.cast_signed());
                if row > 0 {
                    let emitted = index * self.params.emitted_stride + place - 1;
                    self.params.emitted.store(emitted, token.cast_signed());
                }
            }
        }
        self.rows += 1;
        self.last = row.cast_signed();
    }

    /// The walk ends with `token` as the next one; with none for a sequence without rows. Called by the first block of the team
    /// alone.
    ///
    /// # Safety
    /// As [`Output::come_to`]. All threads of the block take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn finish(&self, token: u32) {
        let params = self.params;
        let index = u64::from(self.sequence.index);
        let (rows_at, emitted) = (index * params.accepted_rows_stride, index * params.emitted_stride);
        let rows = self.rows;
        // SAFETY: the caller's promise; what lies behind the walk's rows nobody else writes.
        unsafe {
            if warp() == 0 {
                for half in 0..2 {
                    let place = half * WARP + lane();
                    if place >= rows && place < params.row_capacity {
                        params.accepted_rows.store(rows_at + u64::from(place), -1);
                        params.emitted.store(emitted + u64::from(place), -1);
                    }
                }
            }
            if self.leads {
                if rows > 0 {
                    params.emitted.store(emitted + u64::from(rows - 1), token.cast_signed());
                }
                params.accepted.store(index, rows.saturating_sub(1).cast_signed());
                params.last_rows.store(index, self.last);
                if !params.new_lengths.is_null() {
                    let length = params.lengths.load(index);
                    let longer = length.checked_add(rows.cast_signed());
                    params.new_lengths.store(index, longer.unwrap_or(i32::MAX));
                }
            }
        }
    }
}
