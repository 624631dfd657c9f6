//! The kernel that captures queries.

use super::{params::CaptureParams, sequence::word};
use crate::{
    fault::Fault,
    simt::{
        WARP, atomic,
        thread::{block_x, block_y, thread_index},
    },
};

/// Copies the queries of one row of every sequence, of the captured heads, to the sequence's slot: by blocks of `W` warps.
///
/// # Safety
/// Every array that the parameters name exists, with the documented shape, until the launch has ended; nobody writes them or
/// accesses the slots meanwhile. The grid is `[blocks, batch, 1]`, with a thread for each word of 16 bytes of a slot's token.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub unsafe fn capture<const W: u32>(params: &CaptureParams) {
    let column = block_x() * W * WARP + thread_index();
    // SAFETY: the caller's promise.
    let found = unsafe { Captured::of_block(params, column == 0) };
    let Some(Captured { row, slot }) = found else { return };
    let place = column >> params.word_shift;
    if place >= params.heads {
        return;
    }
    let first = u64::from((column - (place << params.word_shift)) * 8);
    let head = u64::from(params.head(place));
    let from = u64::from(row) * params.query_row_stride + head * params.query_head_stride + first;
    let to = u64::from(slot) * params.slot_stride + u64::from(place) * params.captured_head_stride + first;
    // SAFETY: the caller's promise; the row is one of the batch's, the slot one of the array's, and each word is one thread's.
    unsafe { word(params.captured, to).store(0, word(params.query, from).load(0)) };
}

/// What is captured of the calling block's sequence.
struct Captured {
    /// The row in the batch.
    row: u32,
    /// The slot that it goes to.
    slot: u32,
}

impl Captured {
    /// What the arrays say; nothing where nothing is to be captured, or where they are not as documented: one thread of the
    /// launch, which `leads`, reports that.
    ///
    /// # Safety
    /// As [`capture`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn of_block(params: &CaptureParams, leads: bool) -> Option<Self> {
        let index = block_y();
        let place = u64::from(index);
        // SAFETY: the caller's promise. No load waits for another.
        let (first, last, slot, chosen) = unsafe {
            let first = params.row_starts.load(place);
            let last = params.row_starts.load(place + 1);
            let slot = if params.slots.is_null() { index.cast_signed() } else { params.slots.load(place) };
            let last_row = last.wrapping_sub(first).wrapping_sub(1);
            let chosen = if params.rows.is_null() { last_row } else { params.rows.load(place) };
            (first, last, slot, chosen)
        };
        // The difference is taken only once both ends are known not to wrap it.
        let ascending = first >= 0 && first <= last && last <= params.total_rows.cast_signed();
        let rows = last.wrapping_sub(first);
        let fault = if !ascending {
            Fault::Rows
        } else if rows == 0 || slot < 0 {
            return None;
        } else if slot.cast_unsigned() >= params.slot_capacity {
            Fault::Slot
        } else if chosen.cast_unsigned() >= rows.cast_unsigned() {
            Fault::Accepted
        } else {
            return Some(Self { row: (first + chosen).cast_unsigned(), slot: slot.cast_unsigned() });
        };
        if leads {
            // SAFETY: the status word is one item, and kernels access it by atomics alone.
            unsafe { atomic::global_max(params.status, 0, fault.word(index)) };
        }
        None
    }
}

impl CaptureParams {
    /// The query head that is captured as number `place`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn head(&self, place: u32) -> u32 {
        // Parameters at a place that only the thread knows would have to be copied to memory of its own.
        let mut word = 0;
        for index in 0..self.head_list.len() {
            if place / 4 == index as u32 {
                word = self.head_list[index];
            }
        }
        (word >> (16 * (place % 4))) as u32 & 0xffff
    }
}
