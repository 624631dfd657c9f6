//! The end of a launch: splits are merged in their order, normalised and written.

use super::{
    super::{drain, math::finite},
    LseMut, OutputMut,
    sequence::Owner,
    task::{Place, Scratch, Shape},
};
use crate::attention::{arrays::AttentionArrays, problem::AttentionProblem};
use crate::element::encode;

/// The most items in a head.
const MAX_DIM: usize = 128;

/// Writes the outputs and log-sum-exps of the rows that belong to a sequence.
#[expect(clippy::too_many_arguments, reason = "everything that a launch has")]
pub(super) fn write(
    problem: &AttentionProblem,
    arrays: &AttentionArrays<'_>,
    shape: &Shape,
    owners: &[Owner],
    partials: &[f32],
    scratch: &mut [Scratch],
    output: OutputMut<'_>,
    lse: Option<LseMut<'_>>,
) {
    let merger = Merger { problem, shape, partials, owners };
    match output {
        OutputMut::Rounded(items) => merger.write(arrays, scratch, items, |x| encode(problem.dtype, x)),
        OutputMut::F32(items) => merger.write(arrays, scratch, items, |x| x),
    }
    if let Some(lse) = lse {
        let heads = problem.query_heads as usize;
        let unit = lse.base.unit();
        for (row, items) in lse.items.chunks_mut(heads).enumerate().take(problem.total_rows as usize) {
            for (head, item) in items.iter_mut().enumerate() {
                if let Some(column) = merger.merge(row, head) {
                    *item = (column.maximum + column.sum.log2()) * unit;
                }
            }
        }
    }
}

/// A row's result for one query head, over all splits.
struct Column {
    maximum: f32,
    sum: f32,
    items: [f32; MAX_DIM],
}

struct Merger<'a> {
    problem: &'a AttentionProblem,
    shape: &'a Shape,
    partials: &'a [f32],
    owners: &'a [Owner],
}

impl Merger<'_> {
    /// Writes all rows, shared out over the threads by whole rows or whole heads, whichever are contiguous.
    fn write<T: Copy + Send>(
        &self,
        arrays: &AttentionArrays<'_>,
        scratch: &mut [Scratch],
        items: &mut [T],
        convert: impl Fn(f32) -> T + Sync,
    ) {
        let (rows, heads) = (self.problem.total_rows as usize, self.problem.query_heads as usize);
        let (row_stride, head_stride) =
            (arrays.strides.output_row as usize, arrays.strides.output_head as usize);
        let rows_outside = arrays.strides.rows_outside(self.problem);
        let (outer, inner, outer_stride, inner_stride) = if rows_outside {
            (rows, heads, row_stride, head_stride)
        } else {
            (heads, rows, head_stride, row_stride)
        };
        drain(scratch, items.chunks_mut(outer_stride).take(outer).enumerate(), |_, (outer, items)| {
            for inner in 0..inner {
                let (row, head) = if rows_outside { (outer, inner) } else { (inner, outer) };
                let Some(column) = self.merge(row, head) else { continue };
                let normaliser = if column.sum == 0.0 { 0.0 } else { column.sum.recip() };
                let items = items[inner * inner_stride..].iter_mut();
                for (item, value) in items.zip(&column.items[..self.problem.kv.head_dim as usize]) {
                    *item = convert(value * normaliser);
                }
            }
        });
    }

    /// The result of `row` for `head`; nothing if the row belongs to no sequence.
    fn merge(&self, row: usize, head: usize) -> Option<Column> {
        let (sequence, local_row) = self.owners[row]?;
        let (group, dim) = (self.problem.group(), self.problem.kv.head_dim as usize);
        let (kv_head, column) = (head as u32 / group, local_row * group + head as u32 % group);
        let mut merged = Column { maximum: f32::NEG_INFINITY, sum: 0.0, items: [0.0; MAX_DIM] };
        for split in 0..self.shape.splits {
            let partial = self.shape.partial(self.partials, sequence, Place { kv_head, split }, column);
            let (items, state) = partial.split_at(dim);
            let raised = merged.maximum.max(state[0]);
            let reference = finite(raised);
            let (old, new) = ((merged.maximum - reference).exp2(), (state[0] - reference).exp2());
            merged.maximum = raised;
            merged.sum = merged.sum * old + state[1] * new;
            for (merged, item) in merged.items.iter_mut().zip(items) {
                *merged = *merged * old + item * new;
            }
        }
        Some(merged)
    }
}
