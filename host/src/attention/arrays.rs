//! The arrays of an attention problem: how they are strided, and views of those that lie in host memory.

use crate::{
    attention::problem::{AttentionProblem, Mask},
    error::{InvalidInput, require_items, require_positive_scale},
    strides::{require_rows, require_vectors, span},
};

const OPERATION: &str = "paged attention";

/// The base of the log-sum-exp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogBase {
    /// Natural logarithm.
    E,
    /// Binary logarithm.
    Two,
}

impl LogBase {
    /// What a binary logarithm is multiplied by.
    #[must_use]
    pub const fn unit(self) -> f32 {
        match self {
            Self::E => std::f32::consts::LN_2,
            Self::Two => 1.0,
        }
    }
}

/// The item type of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// The problem's 16-bit element type.
    Rounded,
    /// fp32.
    F32,
}

/// Distances between rows, in items of the array they belong to (elements, not bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionStrides {
    /// From one query row to the next; a multiple of 8, as are the other three of queries and outputs.
    pub query_row: u64,
    /// From one query head to the next.
    pub query_head: u64,
    /// From one output row to the next.
    pub output_row: u64,
    /// From one output head to the next.
    pub output_head: u64,
    /// From one sequence's block table to the next.
    pub table: u64,
    /// From one sequence's sets to the next's, in entries.
    pub set: u64,
    /// From one KV head's set to the next's; without meaning unless each has its own.
    pub set_head: u64,
}

impl AttentionStrides {
    /// Arrays without gaps: queries and outputs `[total_rows, query_heads, head_dim]`, tables
    /// `[batch, table_width]`, sets `[batch, sets, entries]`.
    #[must_use]
    pub fn dense(problem: &AttentionProblem) -> Self {
        let head = u64::from(problem.kv.head_dim);
        let row = u64::from(problem.query_heads) * head;
        Self {
            query_row: row,
            query_head: head,
            output_row: row,
            output_head: head,
            table: problem.table_width.into(),
            set: u64::from(problem.sets_per_sequence()) * u64::from(entries(problem)),
            set_head: entries(problem).into(),
        }
    }

    /// Checks the strides of `problem`'s arrays, which must be valid itself.
    ///
    /// # Errors
    /// The first stride that is not a multiple of 8 where it must be, or that lets rows of the output, tables or
    /// sets overlap.
    pub fn validate(&self, problem: &AttentionProblem) -> Result<(), InvalidInput> {
        let error = |field, required: &str, actual| InvalidInput::new(OPERATION, field, required, actual);
        let vectors = [
            ("strides.query_row", self.query_row),
            ("strides.query_head", self.query_head),
            ("strides.output_row", self.output_row),
            ("strides.output_head", self.output_head),
        ];
        for (field, stride) in vectors {
            require_vectors(OPERATION, field, stride)?;
        }
        let (row, head, dim) = (self.output_row, self.output_head, u64::from(problem.kv.head_dim));
        if head < dim {
            return Err(error("strides.output_head", "at least head_dim", head));
        }
        let heads_outside = row >= dim && head >= span(problem.total_rows.into(), row, dim);
        if !self.rows_outside(problem) && !heads_outside {
            return Err(error("strides.output_row", "large enough that no two heads overlap", row));
        }
        require_rows(OPERATION, "strides.table", self.table, problem.table_width)?;
        let sets = u64::from(problem.sets_per_sequence());
        if sets > 1 {
            let width = entries(problem);
            if !(u64::from(width)..=u64::from(u32::MAX)).contains(&self.set_head) {
                return Err(error(
                    "strides.set_head",
                    &format!("from {width} to 2^32 - 1 items"),
                    self.set_head,
                ));
            }
        }
        let width = self.sets_of_sequence(problem);
        if self.set < width || self.set > 1 << 40 {
            return Err(error("strides.set", &format!("from {width} to 2^40 items"), self.set));
        }
        Ok(())
    }

    /// Items from the first entry of a sequence's sets to the last one's end.
    fn sets_of_sequence(&self, problem: &AttentionProblem) -> u64 {
        span(problem.sets_per_sequence().into(), self.set_head, entries(problem).into())
    }

    /// Whether the output's rows lie one behind the other, each with all of its heads. Else, if the strides are
    /// valid, its heads do, each with all of its rows.
    #[must_use]
    pub fn rows_outside(&self, problem: &AttentionProblem) -> bool {
        self.output_row >= span(problem.query_heads.into(), self.output_head, problem.kv.head_dim.into())
    }

    /// Items of the query array.
    #[must_use]
    pub fn query_extent(&self, problem: &AttentionProblem) -> u64 {
        extent(problem, self.query_row, self.query_head)
    }

    /// Items of the output array.
    #[must_use]
    pub fn output_extent(&self, problem: &AttentionProblem) -> u64 {
        extent(problem, self.output_row, self.output_head)
    }

    /// Items of the array of block tables.
    #[must_use]
    pub fn table_extent(&self, problem: &AttentionProblem) -> u64 {
        span(problem.batch.into(), self.table, problem.table_width.into())
    }

    /// Items of the array of sets.
    #[must_use]
    pub fn set_extent(&self, problem: &AttentionProblem) -> u64 {
        match self.sets_of_sequence(problem) {
            0 => 0,
            width => span(problem.batch.into(), self.set, width),
        }
    }
}

/// Entries that a set has room for; 0 where there are none.
fn entries(problem: &AttentionProblem) -> u32 {
    problem.sets().map_or(0, |sets| sets.entry_capacity())
}

fn extent(problem: &AttentionProblem, row: u64, head: u64) -> u64 {
    let heads = span(problem.query_heads.into(), head, problem.kv.head_dim.into());
    span(problem.total_rows.into(), row, heads)
}

/// What attention reads, in host memory; 16-bit items as their bits. The shapes are those of
/// [`Params`](dustin_kernels::attention::params::Params).
#[derive(Clone, Copy, Debug)]
pub struct AttentionArrays<'a> {
    /// Queries after rotary embedding, `[total_rows, query_heads, head_dim]`.
    pub query: &'a [u16],
    /// Key cache after rotary embedding.
    pub key: &'a [u16],
    /// Value cache.
    pub value: &'a [u16],
    /// Physical page numbers, `[batch, table_width]`.
    pub block_table: &'a [i32],
    /// Confirmed lengths, `[batch]`.
    pub lengths: &'a [i32],
    /// First query row of each sequence and, last, the number of rows, `[batch + 1]`. No two sequences may have a row in
    /// common: here the later one is refused; a GPU does not look for it, and what it leaves in the row is not defined.
    pub row_starts: &'a [i32],
    /// Entries of the sets, `[batch, sets, entries]`; empty where the problem has none.
    pub set: &'a [i32],
    /// Tokens of each set, or the flag EVERYTHING, `[batch, sets]`; empty where the problem has none.
    pub set_sizes: &'a [i32],
    /// Rows that each row sees, `[total_rows]`; empty unless the problem's mask is a tree.
    pub masks: &'a [u64],
    /// The softmax scale, positive.
    pub scale: f32,
    /// Distances between rows.
    pub strides: AttentionStrides,
}

impl AttentionArrays<'_> {
    /// Checks the problem, the strides, the scale and that every array holds what the shapes ask for.
    ///
    /// # Errors
    /// The first field that is not as documented, or the first array that is too short.
    pub fn validate(&self, problem: &AttentionProblem) -> Result<(), InvalidInput> {
        problem.validate()?;
        self.strides.validate(problem)?;
        require_positive_scale(OPERATION, self.scale)?;
        let batch = u64::from(problem.batch);
        for (field, actual, required) in [
            ("query", self.query.len(), self.strides.query_extent(problem)),
            ("key", self.key.len(), problem.kv.extent()),
            ("value", self.value.len(), problem.kv.extent()),
            ("block_table", self.block_table.len(), self.strides.table_extent(problem)),
            ("lengths", self.lengths.len(), batch),
            ("row_starts", self.row_starts.len(), batch + 1),
            ("set", self.set.len(), self.strides.set_extent(problem)),
            ("set_sizes", self.set_sizes.len(), batch * u64::from(problem.sets_per_sequence())),
            (
                "masks",
                self.masks.len(),
                if problem.mask == Mask::Tree { problem.total_rows.into() } else { 0 },
            ),
        ] {
            require_items(OPERATION, field, actual, required)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Dtype;

    use super::*;
    use crate::{
        attention::problem::{Confirmed, Sets},
        kv::{KvLayout, PagedKv},
    };

    fn problem() -> AttentionProblem {
        AttentionProblem {
            batch: 2,
            rows: 5,
            total_rows: 10,
            confirmed: Confirmed::Sets(Sets::of_positions(64)),
            query_heads: 8,
            kv: PagedKv::dense(KvLayout::Nhd, 16, 16, 2, 128),
            table_width: 8,
            dtype: Dtype::Bf16,
            mask: Mask::Causal,
            lse: false,
            batch_invariant: false,
        }
    }

    #[test]
    fn a_problem_of_nothing_has_no_extent_no_groups_and_no_overflow() {
        let nothing = AttentionProblem { batch: 0, total_rows: 0, query_heads: 0, ..problem() };
        let strides = AttentionStrides::dense(&nothing);
        let extents = [
            strides.query_extent(&nothing),
            strides.output_extent(&nothing),
            strides.table_extent(&nothing),
            strides.set_extent(&nothing),
        ];
        assert_eq!(extents, [0; 4]);
        let kv = PagedKv { kv_heads: 0, ..nothing.kv };
        assert_eq!(AttentionProblem { kv, ..nothing }.group(), 0);
        let kv = PagedKv { kv_heads: u32::MAX, head_dim: u32::MAX, ..nothing.kv };
        let confirmed = Confirmed::Sets(Sets::of_positions(u32::MAX));
        let most = AttentionProblem { batch: u32::MAX, confirmed, kv, ..problem() };
        assert_eq!(most.bytes(), u64::MAX);
    }

    #[test]
    fn rows_or_heads_lie_outside_but_may_not_be_interleaved() {
        let problem = problem();
        let strides = |output_row, output_head| AttentionStrides {
            output_row,
            output_head,
            ..AttentionStrides::dense(&problem)
        };
        for (row, head, rows_outside) in [(1024, 128, true), (128, 1280, false), (136, 1352, false)] {
            assert_eq!(strides(row, head).validate(&problem), Ok(()), "{row}, {head}");
            assert_eq!(strides(row, head).rows_outside(&problem), rows_outside, "{row}, {head}");
        }
        for (row, head) in [(1016, 128), (128, 1272), (128, 128)] {
            assert_eq!(strides(row, head).validate(&problem).unwrap_err().field, "strides.output_row");
        }
    }

    /// Sets of 64 entries, one for each of two KV heads.
    fn of_each_kv_head() -> AttentionProblem {
        let sets = Sets { per_kv_head: true, ..Sets::of_positions(64) };
        AttentionProblem { confirmed: Confirmed::Sets(sets), ..problem() }
    }

    #[test]
    fn sets_may_lie_apart_but_not_overlap_nor_too_far_apart() {
        let problem = of_each_kv_head();
        let validate = |set_head, set| {
            AttentionStrides { set_head, set, ..AttentionStrides::dense(&problem) }.validate(&problem)
        };
        for (set_head, set) in [(64, 128), (100, 164), (u64::from(u32::MAX), 1 << 40)] {
            assert_eq!(validate(set_head, set), Ok(()), "{set_head}, {set}");
        }
        for set_head in [0, 63, 1 << 32] {
            assert_eq!(validate(set_head, 1 << 40).unwrap_err().field, "strides.set_head", "{set_head}");
        }
        for (set_head, set) in [(64, 127), (100, 163), (64, (1 << 40) + 1)] {
            assert_eq!(validate(set_head, set).unwrap_err().field, "strides.set", "{set_head}, {set}");
        }
    }

    #[test]
    fn one_mask_for_each_row_and_one_size_for_each_set_are_asked_for() {
        let problem = AttentionProblem { mask: Mask::Tree, ..of_each_kv_head() };
        let strides = AttentionStrides::dense(&problem);
        let (query, cache) = ([0; 10 * 8 * 128], vec![0; problem.kv.extent() as usize]);
        let arrays = AttentionArrays {
            query: &query,
            key: &cache,
            value: &cache,
            block_table: &[0; 2 * 8],
            lengths: &[0; 2],
            row_starts: &[0; 3],
            set: &[0; 2 * 2 * 64],
            set_sizes: &[0; 2 * 2],
            masks: &[0; 10],
            scale: 0.125,
            strides,
        };
        assert_eq!(arrays.validate(&problem), Ok(()));
        let field = |arrays: AttentionArrays<'_>| arrays.validate(&problem).unwrap_err().field;
        assert_eq!(field(AttentionArrays { masks: &[0; 9], ..arrays }), "masks");
        assert_eq!(field(AttentionArrays { set_sizes: &[0; 3], ..arrays }), "set_sizes");
        assert_eq!(field(AttentionArrays { set: &[0; 255], ..arrays }), "set");
    }
}
