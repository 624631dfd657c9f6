//! What the arrays say of a sequence, with everything out of range clamped or masked, and reported.

use dustin_kernels::fault::Fault;

use crate::attention::{arrays::AttentionArrays, problem::AttentionProblem};

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
    length: Option<u32>,
    pub(super) set_size: u32,
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
        let set_size = arrays.set_sizes[at].max(0).cast_unsigned().min(problem.set_capacity);
        if i64::from(arrays.set_sizes[at]) != i64::from(set_size) {
            report(Fault::SetSize.word(index));
        }
        Some(Self { index, first_row: first as u32, rows: rows as u32, length, set_size })
    }

    /// Item offset, without the KV head, of entry `entry` of the set; nothing if it is masked.
    pub(super) fn set_token(
        &self,
        problem: &AttentionProblem,
        arrays: &AttentionArrays<'_>,
        entry: u32,
        report: Report<'_>,
    ) -> Option<u64> {
        let position = arrays.set[self.index as usize * arrays.strides.set as usize + entry as usize];
        match u32::try_from(position) {
            Ok(position) if self.length.is_some_and(|length| position < length) => {
                self.token(problem, arrays, position, report)
            }
            _ => {
                report(Fault::Position.word(self.index));
                None
            }
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

    fn token(
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
