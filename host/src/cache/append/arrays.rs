//! The arrays of an append: how they are strided, and views of those that lie in host memory.

use super::{OPERATION, problem::AppendProblem};
use crate::{
    cache::{overlap::require_nested, step::StepArrays},
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
    /// From one row's queries to the next's; without meaning where there are no query heads, as are the other three.
    pub query_row: u64,
    /// From one query head to the next.
    pub query_head: u64,
    /// From one row's copied queries to the next's. No two heads of the copy may overlap.
    pub query_copy_row: u64,
    /// From one query head of the copy to the next.
    pub query_copy_head: u64,
}

impl AppendStrides {
    /// Arrays without gaps: `[total_rows, kv_heads, head_dim]`, queries `[total_rows, query_heads, head_dim]`.
    #[must_use]
    pub fn dense(problem: &AppendProblem) -> Self {
        let head = u64::from(problem.step.kv.head_dim);
        let row = u64::from(problem.step.kv.kv_heads) * head;
        let query_row = u64::from(problem.query_heads) * head;
        Self {
            key_row: row,
            key_head: head,
            value_row: row,
            value_head: head,
            query_row,
            query_head: head,
            query_copy_row: query_row,
            query_copy_head: head,
        }
    }

    /// Checks the strides of `problem`'s arrays, which must be valid itself.
    ///
    /// # Errors
    /// The first stride that is no multiple of 8, or that is absurd, or that lets heads of the copied queries overlap.
    pub fn validate(&self, problem: &AppendProblem) -> Result<(), InvalidInput> {
        let (row, head) = (
            ("strides.query_copy_row", self.query_copy_row),
            ("strides.query_copy_head", self.query_copy_head),
        );
        let strides = [
            ("strides.key_row", self.key_row),
            ("strides.key_head", self.key_head),
            ("strides.value_row", self.value_row),
            ("strides.value_head", self.value_head),
            ("strides.query_row", self.query_row),
            ("strides.query_head", self.query_head),
            row,
            head,
        ];
        let of_queries = if problem.query_heads == 0 { 4 } else { 0 };
        for &(field, stride) in &strides[..strides.len() - of_queries] {
            require_vectors(OPERATION, field, stride)?;
        }
        if problem.query_heads == 0 {
            return Ok(());
        }
        let (rows, heads) = (problem.step.total_rows, problem.query_heads);
        let copies = vec![(row.0, rows.into(), row.1), (head.0, heads.into(), head.1)];
        require_nested(OPERATION, problem.step.kv.head_dim.into(), copies)
    }

    /// Items of the array of keys.
    #[must_use]
    pub fn key_extent(&self, problem: &AppendProblem) -> u64 {
        extent(problem, problem.step.kv.kv_heads, self.key_row, self.key_head)
    }

    /// Items of the array of values.
    #[must_use]
    pub fn value_extent(&self, problem: &AppendProblem) -> u64 {
        extent(problem, problem.step.kv.kv_heads, self.value_row, self.value_head)
    }

    /// Items of the array of queries, 0 if there are none.
    #[must_use]
    pub fn query_extent(&self, problem: &AppendProblem) -> u64 {
        extent(problem, problem.query_heads, self.query_row, self.query_head)
    }

    /// Items of the array that queries are copied to, 0 if there are none.
    #[must_use]
    pub fn query_copy_extent(&self, problem: &AppendProblem) -> u64 {
        extent(problem, problem.query_heads, self.query_copy_row, self.query_copy_head)
    }
}

fn extent(problem: &AppendProblem, heads: u32, row: u64, head: u64) -> u64 {
    if heads == 0 {
        return 0;
    }
    span(problem.step.total_rows.into(), row, span(heads.into(), head, problem.step.kv.head_dim.into()))
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
    /// Queries of the rows after rotary embedding, `[total_rows, query_heads, head_dim]`; empty where there are no query heads.
    pub query: &'a [u16],
    /// Distances between rows.
    pub strides: AppendStrides,
}

impl AppendArrays<'_> {
    /// Checks the problem, the strides, and that every array holds what the shapes ask for.
    ///
    /// # Errors
    /// The first field that is not as documented, or the first array that is too short.
    pub fn validate(&self, problem: &AppendProblem) -> Result<(), InvalidInput> {
        problem.validate()?;
        self.step.validate(OPERATION, &problem.step)?;
        self.strides.validate(problem)?;
        for (field, items, extent) in [
            ("key", self.key, self.strides.key_extent(problem)),
            ("value", self.value, self.strides.value_extent(problem)),
            ("query", self.query, self.strides.query_extent(problem)),
        ] {
            require_items(OPERATION, field, items.len(), extent)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::step::Step,
        kv::{KvLayout, PagedKv},
    };

    #[test]
    fn rows_that_are_too_short_or_misaligned_are_refused_by_name() {
        let kv = PagedKv::dense(KvLayout::Nhd, 5, 2, 3, 64);
        let step = Step { batch: 1, rows: 4, total_rows: 4, kv, table_width: 3 };
        let problem = AppendProblem { step, query_heads: 3 };
        let arrays = StepArrays { block_table: &[0; 3], table_stride: 3, lengths: &[0], row_starts: &[0, 4] };
        let (rows, strides) = ([0; 4 * 192], AppendStrides::dense(&problem));
        let good = AppendArrays { step: arrays, key: &rows, value: &rows, query: &rows, strides };
        assert_eq!(good.validate(&problem), Ok(()));
        let field = |arrays: AppendArrays<'_>| arrays.validate(&problem).unwrap_err().field;
        assert_eq!(field(AppendArrays { key: &rows[1..], ..good }), "key");
        assert_eq!(field(AppendArrays { value: &rows[1..], ..good }), "value");
        assert_eq!(field(AppendArrays { query: &rows[1..], ..good }), "query");
        let misaligned = |change: fn(&mut AppendStrides)| {
            let mut strides = strides;
            change(&mut strides);
            AppendArrays { strides, ..good }
        };
        assert_eq!(field(misaligned(|s| s.key_row += 4)), "strides.key_row");
        assert_eq!(field(misaligned(|s| s.key_head += 4)), "strides.key_head");
        assert_eq!(field(misaligned(|s| s.value_row += 4)), "strides.value_row");
        assert_eq!(field(misaligned(|s| s.value_head += 4)), "strides.value_head");
        assert_eq!(field(misaligned(|s| s.query_row += 4)), "strides.query_row");
        assert_eq!(field(misaligned(|s| s.query_head += 4)), "strides.query_head");
        assert_eq!(field(misaligned(|s| s.query_copy_row += 4)), "strides.query_copy_row");
        assert_eq!(field(misaligned(|s| s.query_copy_head += 4)), "strides.query_copy_head");
        // Copies that overlap; heads outside do not.
        assert_eq!(field(misaligned(|s| s.query_copy_row -= 8)), "strides.query_copy_row");
        assert_eq!(field(misaligned(|s| s.query_copy_head = 0)), "strides.query_copy_head");
        let heads_outside = misaligned(|s| (s.query_copy_row, s.query_copy_head) = (64, 4 * 64));
        assert_eq!(heads_outside.validate(&problem), Ok(()));
    }

    #[test]
    fn without_query_heads_neither_queries_nor_their_strides_are_looked_at() {
        let kv = PagedKv::dense(KvLayout::Nhd, 5, 2, 3, 64);
        let step = Step { batch: 1, rows: 4, total_rows: 4, kv, table_width: 3 };
        let problem = AppendProblem { step, query_heads: 0 };
        let arrays = StepArrays { block_table: &[0; 3], table_stride: 3, lengths: &[0], row_starts: &[0, 4] };
        let strides = AppendStrides { query_row: 3, query_copy_head: 5, ..AppendStrides::dense(&problem) };
        let rows = [0; 4 * 192];
        let arrays = AppendArrays { step: arrays, key: &rows, value: &rows, query: &[], strides };
        assert_eq!(arrays.validate(&problem), Ok(()));
        assert_eq!((strides.query_extent(&problem), strides.query_copy_extent(&problem)), (0, 0));
    }
}
