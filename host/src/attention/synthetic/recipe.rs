//! The shape of a ragged batch, and the problem whose capacities hold it.

use dustin_kernels::registry::Dtype;

use super::{AttentionInput, Contents, OPERATION};
use crate::{
    attention::{
        arrays::AttentionStrides,
        problem::{AttentionProblem, Confirmed, Mask, Sets},
    },
    error::InvalidInput,
    kv::{KvLayout, PagedKv},
    synthetic::padded_cache,
};

/// One sequence of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceShape {
    /// Confirmed length.
    pub length: u32,
    /// Query rows; 0 is allowed.
    pub rows: u32,
    /// Tokens of its set, at most `length`; or [`SequenceShape::EVERYTHING`]. Without meaning where the problem has no sets.
    pub set_size: u32,
}

impl SequenceShape {
    /// The flag EVERYTHING in place of a set.
    pub const EVERYTHING: u32 = u32::MAX;

    /// Tokens that its set lists.
    #[must_use]
    pub const fn listed(&self) -> u32 {
        if self.set_size == Self::EVERYTHING { 0 } else { self.set_size }
    }

    /// Pages that the sequence and its own rows occupy.
    #[must_use]
    pub const fn pages(&self, page_size: u32) -> u32 {
        self.length.saturating_add(self.rows).div_ceil(page_size)
    }
}

/// A ragged batch, from which the problem follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Element type.
    pub dtype: Dtype,
    /// Items in a head: 64 or 128.
    pub head_dim: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads that share one KV head: 1 to 16.
    pub group: u32,
    /// Tokens in a page: a power of two, 1 to 256.
    pub page_size: u32,
    /// The order of a page's items.
    pub layout: KvLayout,
    /// The batch.
    pub sequences: Vec<SequenceShape>,
    /// The confirmed tokens that are read; of sets, the capacity is what the batch needs.
    pub confirmed: Confirmed,
    /// Which of the step's own rows a row sees.
    pub mask: Mask,
    /// How much each capacity exceeds what the batch needs: rows, set positions, table entries, pages.
    pub spare: u32,
    /// Gaps in every stride of queries, outputs and caches, in units of 8 items.
    pub padding: u32,
    /// Whether queries and outputs are `[query_heads, total_rows, head_dim]`; else `[total_rows, query_heads, head_dim]`.
    pub head_major: bool,
    /// Whether the log-sum-exp is asked for.
    pub lse: bool,
    /// What fills the arrays.
    pub contents: Contents,
}

impl Recipe {
    /// The problem: the least capacities that hold the batch, plus what is to spare.
    #[must_use]
    pub fn problem(&self) -> AttentionProblem {
        let batch = self.sequences.len() as u32;
        let most = |of: fn(&SequenceShape) -> u32| self.sequences.iter().map(of).max().unwrap_or(0);
        let pages = self.sequences.iter().map(|s| s.pages(self.page_size));
        let rows = (most(|s| s.rows) + self.spare).clamp(1, 64);
        let table_width = pages.clone().max().unwrap_or(0).max(1) + self.spare;
        let confirmed = match self.confirmed {
            Confirmed::Sets(sets) => {
                let most = (most(SequenceShape::listed) + self.spare).min(table_width * self.page_size);
                Confirmed::Sets(Sets { capacity: most.next_multiple_of(sets.block.max(1)), ..sets })
            }
            without => without,
        };
        let total_rows = self.sequences.iter().map(|s| s.rows).sum::<u32>() + self.spare;
        AttentionProblem {
            batch,
            rows,
            total_rows: total_rows.clamp(1, (batch * rows).max(1)),
            confirmed,
            query_heads: self.kv_heads * self.group,
            kv: self.kv(pages.sum::<u32>().max(1) + self.spare),
            table_width,
            dtype: self.dtype,
            mask: self.mask,
            lse: self.lse,
            batch_invariant: false,
        }
    }

    /// The strides of the problem's arrays.
    #[must_use]
    pub fn strides(&self) -> AttentionStrides {
        let problem = self.problem();
        let gap = 8 * u64::from(self.padding);
        let inner = u64::from(self.head_dim) + gap;
        let entries = problem.sets().map_or(0, |sets| u64::from(sets.entry_capacity()));
        let (row, head) = if self.head_major {
            (inner, u64::from(problem.total_rows) * inner + gap)
        } else {
            (u64::from(problem.query_heads) * inner + gap, inner)
        };
        AttentionStrides {
            query_row: row,
            query_head: head,
            output_row: row,
            output_head: head,
            table: u64::from(problem.table_width) + u64::from(self.padding),
            set: u64::from(problem.sets_per_sequence()) * (entries + u64::from(self.padding)),
            set_head: entries + u64::from(self.padding),
        }
    }

    /// The input.
    ///
    /// # Errors
    /// The recipe is of no valid problem.
    pub fn input(&self) -> Result<AttentionInput, InvalidInput> {
        AttentionInput::new(&self.problem(), &self.strides(), &self.sequences, self.contents)
    }

    fn kv(&self, pages: u32) -> PagedKv {
        let dense = PagedKv::dense(self.layout, pages, self.page_size, self.kv_heads, self.head_dim);
        padded_cache(dense, self.layout, 8 * u64::from(self.padding))
    }
}

/// Checks that the capacities of `problem` hold the sequences.
pub(super) fn validate(problem: &AttentionProblem, sequences: &[SequenceShape]) -> Result<(), InvalidInput> {
    let at_most = |field, limit: u64, actual: u64| {
        if actual > limit {
            return Err(InvalidInput::new(OPERATION, field, format!("at most {limit}"), actual));
        }
        Ok(())
    };
    if sequences.len() != problem.batch as usize {
        return Err(InvalidInput::new(OPERATION, "sequences", problem.batch, sequences.len()));
    }
    let kv = &problem.kv;
    let capacity = u64::from(problem.table_width) * u64::from(kv.page_size);
    let (mut rows, mut pages) = (0u64, 0u64);
    for shape in sequences {
        at_most("rows", problem.rows.into(), shape.rows.into())?;
        at_most("length + rows", capacity, u64::from(shape.length) + u64::from(shape.rows))?;
        if let Some(sets) = problem.sets() {
            at_most("set_size", sets.capacity.min(shape.length).into(), shape.listed().into())?;
        }
        rows += u64::from(shape.rows);
        pages += u64::from(shape.pages(kv.page_size));
    }
    at_most("rows in all", problem.total_rows.into(), rows)?;
    at_most("pages in all", kv.pages.into(), pages)
}
