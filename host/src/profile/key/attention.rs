//! The key of attention.

use std::fmt;

use dustin_kernels::registry::Dtype;
use serde::{Deserialize, Serialize};

use super::{
    cache::Cache,
    require_ends,
    words::{DtypeWord, IndexSet, KvDtype, KvScale, LayoutWord, MaskWord},
};
use crate::{
    InvalidInput,
    attention::problem::{AttentionProblem, Confirmed, INVARIANT_BATCH, Mask, Sets},
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
    /// Sequences in the batch: a bucket's upper end ([`bucket::batch`]), or [`AttentionKey::EVERY_BATCH`].
    pub batch: u32,
    /// Query rows of one sequence: a bucket's upper end ([`bucket::rows`]).
    pub rows: u32,
    /// Confirmed tokens of one sequence that are read (the budget k): a bucket's upper end ([`bucket::set_capacity`]), that of the length
    /// class where all are.
    pub set_capacity: u32,
    /// Tokens that one sequence's block table can hold: a power of two ([`bucket::length_class`]).
    pub length_class: u32,
    /// The confirmed tokens that are read.
    pub index_set: IndexSet,
    /// Mask on the step's own rows.
    #[serde(with = "MaskWord")]
    pub mask: Mask,
    /// Whether the log-sum-exp is asked for.
    pub lse: bool,
}

impl From<&AttentionProblem> for AttentionKey {
    fn from(problem: &AttentionProblem) -> Self {
        let tokens = u64::from(problem.table_width) * u64::from(problem.kv.page_size);
        let length_class = bucket::length_class(tokens);
        // Of one KV head the set is the sequence's.
        let sets = if problem.sets_per_sequence() > 1 { IndexSet::PerKvHead } else { IndexSet::PerSequence };
        let (index_set, capacity) = match problem.confirmed {
            Confirmed::Everything => (IndexSet::Everything, length_class),
            Confirmed::Window { .. } => (IndexSet::Window, problem.confirmed_capacity()),
            Confirmed::Sets(_) => (sets, problem.confirmed_capacity()),
        };
        Self {
            dtype: problem.dtype,
            kv_dtype: problem.dtype.into(),
            kv_scale: KvScale::None,
            head_dim: problem.kv.head_dim,
            query_heads: problem.query_heads,
            kv_heads: problem.kv.kv_heads,
            layout: problem.kv.layout(),
            page_size: problem.kv.page_size,
            batch: if problem.batch_invariant { Self::EVERY_BATCH } else { bucket::batch(problem.batch) },
            rows: bucket::rows(problem.rows),
            set_capacity: bucket::set_capacity(capacity),
            length_class,
            index_set,
            mask: problem.mask,
            lse: problem.lse,
        }
    }
}

impl AttentionKey {
    /// In place of a batch: the choice is one for all batches.
    pub const EVERY_BATCH: u32 = 0;

    /// Query heads that share one KV head; 0 if there are no KV heads.
    #[must_use]
    pub const fn group(&self) -> u32 {
        self.cache().group()
    }

    /// The confirmed tokens that problems of the bucket read at the most, where a table has room for `table_tokens`.
    #[must_use]
    pub fn confirmed(&self, table_tokens: u32) -> Confirmed {
        let capacity = self.set_capacity.min(table_tokens);
        let sets = Sets::of_positions(capacity);
        match self.index_set {
            IndexSet::PerSequence => Confirmed::Sets(sets),
            IndexSet::PerKvHead => Confirmed::Sets(Sets { per_kv_head: true, ..sets }),
            IndexSet::Window => Confirmed::Window { sinks: 0, recent: capacity },
            IndexSet::Everything => Confirmed::Everything,
        }
    }

    /// The batch, or one that stands for every batch.
    #[must_use]
    pub const fn a_batch(&self) -> u32 {
        if self.batch == Self::EVERY_BATCH { INVARIANT_BATCH } else { self.batch }
    }

    /// The largest problem of the bucket, as far as a problem can say: a choice that serves it serves them all.
    /// The key must be valid.
    pub(in crate::profile) fn problem(&self) -> AttentionProblem {
        let page_size = self.page_size.max(1);
        let table_width = (self.length_class / page_size).clamp(1, i32::MAX as u32 / page_size);
        let (batch, rows) = (self.a_batch(), self.rows.min(64));
        AttentionProblem {
            batch,
            rows,
            total_rows: batch * rows,
            confirmed: self.confirmed(table_width * page_size),
            query_heads: self.query_heads,
            kv: PagedKv::dense(self.layout, 1, page_size, self.kv_heads, self.head_dim),
            table_width,
            dtype: self.dtype,
            mask: self.mask,
            lse: self.lse,
            batch_invariant: self.batch == Self::EVERY_BATCH,
        }
    }

    /// Checks that a valid problem can have it.
    ///
    /// # Errors
    /// The first field that no valid problem has.
    pub(super) fn validate(&self) -> Result<(), InvalidInput> {
        self.cache().validate()?;
        let batch = if self.batch == Self::EVERY_BATCH { self.batch } else { bucket::batch(self.batch) };
        let everything = self.index_set == IndexSet::Everything;
        let tokens = if everything { self.length_class } else { self.set_capacity };
        require_ends([
            ("key.batch", self.batch, batch),
            ("key.rows", self.rows, bucket::rows(self.rows)),
            ("key.set_capacity", self.set_capacity, bucket::set_capacity(tokens)),
            ("key.length_class", self.length_class, bucket::length_class(self.length_class.into())),
        ])
    }

    /// Refuses, on behalf of `operation`, an invalid key, and what no back end can do yet.
    ///
    /// # Errors
    /// The first field at fault.
    pub(in crate::profile) fn require_supported(&self, operation: &'static str) -> Result<(), InvalidInput> {
        self.validate()?;
        self.cache().require_supported(operation)
    }

    const fn cache(&self) -> Cache {
        let Self { dtype, kv_dtype, kv_scale, head_dim, query_heads, kv_heads, layout, page_size, .. } =
            *self;
        Cache { dtype, kv_dtype, kv_scale, head_dim, query_heads, kv_heads, layout, page_size }
    }
}

impl fmt::Display for AttentionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, rows, set_capacity, length_class, index_set, mask, lse, .. } = self;
        match *batch {
            Self::EVERY_BATCH => write!(f, "{}, every batch", self.cache())?,
            batch => write!(f, "{}, batch {batch}", self.cache())?,
        }
        match index_set {
            IndexSet::Everything => write!(f, ", rows {rows}, everything of {length_class} tokens")?,
            IndexSet::Window => write!(f, ", rows {rows}, window of {set_capacity}, {length_class} tokens")?,
            IndexSet::PerKvHead => {
                write!(f, ", rows {rows}, k {set_capacity} per KV head, {length_class} tokens")?
            }
            IndexSet::PerSequence => write!(f, ", rows {rows}, k {set_capacity}, {length_class} tokens")?,
        }
        write!(f, ", {mask:?}{}", if *lse { ", lse" } else { "" })
    }
}
