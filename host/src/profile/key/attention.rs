//! The key of sparse attention.

use std::fmt;

use dustin_kernels::registry::Dtype;
use serde::{Deserialize, Serialize};

use super::{
    cache::Cache,
    require_ends,
    words::{DtypeWord, IndexSet, KvDtype, KvScale, LayoutWord, Mask},
};
use crate::{
    InvalidInput,
    attention::problem::AttentionProblem,
    kv::{KvLayout, PagedKv},
    profile::bucket,
};

/// What of an attention problem matters. `total_rows` does not: it only says how much of `batch · rows` is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionKey {
    /// Element type of queries and outputs.
    #[serde(with = "DtypeWord")]
    pub dtype: Dtype,
    /// Element type of keys and values.
    pub kv_dtype: KvDtype,
    /// Scaling of keys and values.
    pub kv_scale: KvScale,
    /// Items in a head.
    pub head_dim: u32,
    /// Query heads of this rank.
    pub query_heads: u32,
    /// KV heads of this rank.
    pub kv_heads: u32,
    /// Order of a page's items.
    #[serde(with = "LayoutWord")]
    pub layout: KvLayout,
    /// Tokens in a page.
    pub page_size: u32,
    /// Sequences in the batch: a bucket's upper end ([`bucket::batch`]).
    pub batch: u32,
    /// Query rows of one sequence: a bucket's upper end ([`bucket::rows`]).
    pub rows: u32,
    /// Positions of one sequence's set (the budget k): a bucket's upper end ([`bucket::set_capacity`]).
    pub set_capacity: u32,
    /// Tokens that one sequence's block table can hold: a power of two ([`bucket::length_class`]).
    pub length_class: u32,
    /// What shares one verification set.
    pub index_set: IndexSet,
    /// Mask on the step's own rows.
    pub mask: Mask,
    /// Whether the log-sum-exp is asked for.
    pub lse: bool,
}

impl From<&AttentionProblem> for AttentionKey {
    fn from(problem: &AttentionProblem) -> Self {
        let tokens = u64::from(problem.table_width) * u64::from(problem.kv.page_size);
        Self {
            dtype: problem.dtype,
            kv_dtype: problem.dtype.into(),
            kv_scale: KvScale::None,
            head_dim: problem.kv.head_dim,
            query_heads: problem.query_heads,
            kv_heads: problem.kv.kv_heads,
            layout: problem.kv.layout(),
            page_size: problem.kv.page_size,
            batch: bucket::batch(problem.batch),
            rows: bucket::rows(problem.rows),
            set_capacity: bucket::set_capacity(problem.set_capacity),
            length_class: bucket::length_class(tokens),
            index_set: IndexSet::PerSequence,
            mask: Mask::Causal,
            lse: problem.lse,
        }
    }
}

impl AttentionKey {
    /// Query heads that share one KV head; 0 if there are no KV heads.
    #[must_use]
    pub const fn group(&self) -> u32 {
        self.cache().group()
    }

    /// The largest problem of the bucket, as far as a problem can say: a choice that serves it serves them all.
    /// The key must be valid.
    pub(in crate::profile) fn problem(&self) -> AttentionProblem {
        let page_size = self.page_size.max(1);
        let table_width = (self.length_class / page_size).clamp(1, i32::MAX as u32 / page_size);
        let (batch, rows) = (self.batch, self.rows.min(64));
        AttentionProblem {
            batch,
            rows,
            total_rows: batch * rows,
            set_capacity: self.set_capacity.min(table_width * page_size),
            query_heads: self.query_heads,
            kv: PagedKv::dense(self.layout, 1, page_size, self.kv_heads, self.head_dim),
            table_width,
            dtype: self.dtype,
            lse: self.lse,
        }
    }

    /// Checks that a valid problem can have it.
    ///
    /// # Errors
    /// The first field that no valid problem has.
    pub(super) fn validate(&self) -> Result<(), InvalidInput> {
        self.cache().validate()?;
        require_ends([
            ("key.batch", self.batch, bucket::batch(self.batch)),
            ("key.rows", self.rows, bucket::rows(self.rows)),
            ("key.set_capacity", self.set_capacity, bucket::set_capacity(self.set_capacity)),
            ("key.length_class", self.length_class, bucket::length_class(self.length_class.into())),
        ])
    }

    /// Refuses, on behalf of `operation`, an invalid key, and what no back end can do yet.
    ///
    /// # Errors
    /// The first field at fault.
    pub(in crate::profile) fn require_supported(&self, operation: &'static str) -> Result<(), InvalidInput> {
        self.validate()?;
        self.cache().require_supported(operation)?;
        let error =
            |field, required, actual: String| Err(InvalidInput::new(operation, field, required, actual));
        if self.mask != Mask::Causal {
            return error("key.mask", "Causal", format!("{:?}", self.mask));
        }
        if self.index_set != IndexSet::PerSequence {
            return error("key.index_set", "PerSequence", format!("{:?}", self.index_set));
        }
        Ok(())
    }

    const fn cache(&self) -> Cache {
        let Self { dtype, kv_dtype, kv_scale, head_dim, query_heads, kv_heads, layout, page_size, .. } =
            *self;
        Cache { dtype, kv_dtype, kv_scale, head_dim, query_heads, kv_heads, layout, page_size }
    }
}

impl fmt::Display for AttentionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, rows, set_capacity, length_class, mask, lse, .. } = self;
        write!(f, "{}, batch {batch}, rows {rows}, k {set_capacity}, {length_class} tokens", self.cache())?;
        write!(f, ", {mask:?}{}", if *lse { ", lse" } else { "" })
    }
}
