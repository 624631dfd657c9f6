//! The arrays of an append: how they are strided, and views of those that lie in host memory.

use super::OPERATION;
use crate::{
    cache::step::{Step, StepArrays},
    error::{InvalidInput, require_items},
    strides::{require_vectors, span},
};

/// Distances between the step's rows, in items of 16 bits; multiples of 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppendStrides {
    /// From one row's keys to the next's.
    pub key_row: u64,
    /// From one KV head's keys to the next's.
    pub key_head: u64,
    /// From one row's values to the next's.
    pub value_row: u64,
    /// From one KV head's values to the next's.
    pub value_head: u64,
}

impl AppendStrides {
    /// Arrays without gaps: `[total_rows, kv_heads, head_dim]`.
    #[must_use]
    pub fn dense(step: &Step) -> Self {
        let head = u64::from(step.kv.head_dim);
        let row = u64::from(step.kv.kv_heads) * head;
        Self { key_row: row, key_head: head, value_row: row, value_head: head }
    }

    /// Checks the strides.
    ///
    /// # Errors
    /// The first stride that is no multiple of 8, or that is absurd.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        for (field, stride) in [
            ("strides.key_row", self.key_row),
            ("strides.key_head", self.key_head),
            ("strides.value_row", self.value_row),
            ("strides.value_head", self.value_head),
        ] {
            require_vectors(OPERATION, field, stride)?;
        }
        Ok(())
    }

    /// Items of the array of keys.
    #[must_use]
    pub fn key_extent(&self, step: &Step) -> u64 {
        extent(step, self.key_row, self.key_head)
    }

    /// Items of the array of values.
    #[must_use]
    pub fn value_extent(&self, step: &Step) -> u64 {
        extent(step, self.value_row, self.value_head)
    }
}

fn extent(step: &Step, row: u64, head: u64) -> u64 {
    span(step.total_rows.into(), row, span(step.kv.kv_heads.into(), head, step.kv.head_dim.into()))
}

/// What appending reads, in host memory; 16-bit items as their bits.
#[derive(Clone, Copy, Debug)]
pub struct AppendArrays<'a> {
    /// The step's lengths, rows and tables.
    pub step: StepArrays<'a>,
    /// Keys of the rows after rotary embedding, `[total_rows, kv_heads, head_dim]`.
    pub key: &'a [u16],
    /// Values of the rows, likewise.
    pub value: &'a [u16],
    /// Distances between rows.
    pub strides: AppendStrides,
}

impl AppendArrays<'_> {
    /// Checks the step, the strides, and that every array holds what the shapes ask for.
    ///
    /// # Errors
    /// The first field that is not as documented, or the first array that is too short.
    pub fn validate(&self, step: &Step) -> Result<(), InvalidInput> {
        self.step.validate(OPERATION, step)?;
        self.strides.validate()?;
        require_items(OPERATION, "key", self.key.len(), self.strides.key_extent(step))?;
        require_items(OPERATION, "value", self.value.len(), self.strides.value_extent(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{KvLayout, PagedKv};

    #[test]
    fn rows_that_are_too_short_or_misaligned_are_refused_by_name() {
        let kv = PagedKv::dense(KvLayout::Nhd, 5, 2, 3, 64);
        let step = Step { batch: 1, rows: 4, total_rows: 4, kv, table_width: 3 };
        let arrays = StepArrays { block_table: &[0; 3], table_stride: 3, lengths: &[0], row_starts: &[0, 4] };
        let (rows, strides) = ([0; 4 * 192], AppendStrides::dense(&step));
        let good = AppendArrays { step: arrays, key: &rows, value: &rows, strides };
        assert_eq!(good.validate(&step), Ok(()));
        let field = |arrays: AppendArrays<'_>| arrays.validate(&step).unwrap_err().field;
        assert_eq!(field(AppendArrays { key: &rows[1..], ..good }), "key");
        assert_eq!(field(AppendArrays { value: &rows[1..], ..good }), "value");
        for (index, name) in ["key_row", "key_head", "value_row", "value_head"].into_iter().enumerate() {
            let mut items = [192, 64, 192, 64];
            items[index] += 4;
            let [key_row, key_head, value_row, value_head] = items;
            let strides = AppendStrides { key_row, key_head, value_row, value_head };
            assert_eq!(field(AppendArrays { strides, ..good }), format!("strides.{name}"));
        }
    }
}
