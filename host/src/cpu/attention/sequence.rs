//! What the arrays say of a sequence, with everything out of range clamped or masked, and reported.

use dustin_kernels::fault::Fault;

use super::confirmed::check_sizes;
use crate::attention::{
    arrays::AttentionArrays,
    problem::{AttentionProblem, Mask},
};

/// Raises the status word.
pub(super) type Report<'a> = &'a (dyn Fn(u64) + Sync);

/// The sequence that a row of the batch belongs to, and its number there.
pub(super) type Owner = Option<(u32, u32)>;

/// One sequence of the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub(super) index: u32,
    /// First query row in the batch.
    pub(super) first_row: u32,
    pub(super) rows: u32,
    /// Confirmed length; nothing if it is negative, and every token is masked.
    pub(super) length: Option<u32>,
}

impl Sequence {
    /// Sequence `index`, which becomes the owner of its rows; nothing if they are not as they must be, or if one of
    /// them has an owner.
    pub(super) fn new(
        problem: &AttentionProblem,
        arrays: &AttentionArrays<'_>,
        index: u32,
        owners: &mut [Owner],
        report: Report<'_>,
    ) -> Option<Self> {
        let at = index as usize;
        let (first, last) = (i64::from(arrays.row_starts[at]), i64::from(arrays.row_starts[at + 1]));
        let rows = last - first;
        if first < 0 || last > problem.total_rows.into() || !(0..=i64::from(problem.rows)).contains(&rows) {
            report(Fault::Rows.word(index));
            return None;
        }
        let owners = &mut owners[first as usize..last as usize];
        if owners.iter().any(Option::is_some) {
            report(Fault::Rows.word(index));
            return None;
        }
        for (row, owner) in owners.iter_mut().enumerate() {
            *owner = Some((index, row as u32));
        }
        let length = u32::try_from(arrays.lengths[at]).ok();
        if length.is_none() {
            report(Fault::Length.word(index));
        }
        check_sizes(problem, arrays, index, report);
        Some(Self { index, first_row: first as u32, rows: rows as u32, length })
    }

    /// Whether row `row` sees own row `own`.
    pub(super) fn sees(
        &self,
        problem: &AttentionProblem,
        arrays: &AttentionArrays<'_>,
        row: u32,
        own: u32,
    ) -> bool {
        match problem.mask {
            Mask::Causal => own <= row,
            Mask::Tree => arrays.masks[(self.first_row + row) as usize] >> own & 1 != 0,
        }
    }

    /// Item offset, without the KV head, of own row `row`; nothing if it is masked.
    pub(super) fn own_token(
        &self,
        problem: &AttentionProblem,
        arrays: &AttentionArrays<'_>,
        row: u32,
        report: Report<'_>,
    ) -> Option<u64> {
        // At most 2^31 - 1 + 63.
        self.token(problem, arrays, self.length? + row, report)
    }

    /// Item offset, without the KV head, of `position`; nothing if it is masked.
    pub(super) fn token(
        &self,
        problem: &AttentionProblem,
        arrays: &AttentionArrays<'_>,
        position: u32,
        report: Report<'_>,
    ) -> Option<u64> {
        let (page_index, slot) = (position / problem.kv.page_size, position % problem.kv.page_size);
        if page_index >= problem.table_width {
            report(Fault::Length.word(self.index));
            return None;
        }
        let page =
            arrays.block_table[self.index as usize * arrays.strides.table as usize + page_index as usize];
        match u32::try_from(page) {
            Ok(page) if page < problem.kv.pages => Some(problem.kv.offset(page, slot, 0)),
            _ => {
                report(Fault::Page.word(self.index));
                None
            }
        }
    }
}
