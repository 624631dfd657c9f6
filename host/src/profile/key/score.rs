//! The key of scoring.

use std::fmt;

use dustin_kernels::registry::Dtype;
use serde::{Deserialize, Serialize};

use super::{
    OPERATION,
    cache::Cache,
    require_ends,
    words::{DtypeWord, KvDtype, KvScale, LayoutWord},
};
use crate::{
    InvalidInput,
    kv::{KvLayout, PagedKv},
    profile::bucket,
    score::problem::{MAX_COLUMNS, ScoreProblem, Source},
};

/// What of a scoring problem matters. Which heads are captured does not, but how many, and how many KV heads they read;
/// nor do weights and the number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreKey {
    /// Element type of queries.
    #[serde(with = "DtypeWord")]
    pub dtype: Dtype,
    /// Element type of keys.
    pub kv_dtype: KvDtype,
    /// Scaling of keys.
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
    /// Tokens that one sequence's block table can hold: a power of two ([`bucket::length_class`]).
    pub length_class: u32,
    /// Tokens of each sequence when the map is full and all are alike: a power of two, at most the length class.
    pub mean_length: u32,
    /// Layers whose heads are gathered: a bucket's upper end ([`bucket::sources`]).
    pub sources: u32,
    /// Captured heads of the source with the most: a bucket's upper end ([`bucket::rows`]), but no more than the KV heads
    /// read have, and than columns are allowed.
    pub heads: u32,
    /// Distinct KV heads read of the source with the most.
    pub kv_heads_read: u32,
    /// Captured query tokens of a sequence: a bucket's upper end ([`bucket::rows`]), but no more than columns are allowed.
    pub tokens: u32,
    /// Whether the scores are added to what the map holds.
    pub accumulate: bool,
}

impl From<&ScoreProblem> for ScoreKey {
    fn from(problem: &ScoreProblem) -> Self {
        let count = |items: usize| u32::try_from(items).unwrap_or(u32::MAX);
        let group = problem.group().max(1);
        let table = u64::from(problem.table_width) * u64::from(problem.kv.page_size);
        let sources = &problem.sources;
        Self {
            dtype: problem.dtype,
            kv_dtype: problem.dtype.into(),
            kv_scale: KvScale::None,
            head_dim: problem.kv.head_dim,
            query_heads: problem.query_heads,
            kv_heads: problem.kv.kv_heads,
            layout: problem.kv.layout(),
            page_size: problem.kv.page_size,
            batch: problem.batch,
            length_class: bucket::length_class(table),
            mean_length: problem.map_capacity.div_ceil(problem.batch.max(1)),
            sources: count(sources.len()),
            heads: count(sources.iter().map(|source| source.heads.len()).max().unwrap_or(0)),
            kv_heads_read: count(sources.iter().map(|s| s.by_kv_head(group).count()).max().unwrap_or(0)),
            tokens: problem.tokens,
            accumulate: problem.accumulate,
        }
        .rounded_up()
    }
}

impl ScoreKey {
    /// Query heads that share one KV head; 0 if there are no KV heads.
    #[must_use]
    pub const fn group(&self) -> u32 {
        self.cache().group()
    }

    /// The largest problem of the bucket: a choice that serves it serves them all. Its sources are alike, their heads
    /// spread over the KV heads, and its cache has pages for sequences of the mean length. The key must be valid.
    #[must_use]
    pub fn problem(&self) -> ScoreProblem {
        let heads = Source::spread_heads(self.heads, self.kv_heads_read, self.kv_heads, self.group());
        let page_size = self.page_size.max(1);
        let pages = u64::from(self.batch) * u64::from(self.mean_length.div_ceil(page_size));
        let pages = pages.clamp(1, i32::MAX as u64) as u32;
        ScoreProblem {
            batch: self.batch,
            map_capacity: bucket::map_capacity(self.batch, self.mean_length),
            tokens: self.tokens,
            slots: self.batch,
            query_heads: self.query_heads,
            kv: PagedKv::dense(self.layout, pages, page_size, self.kv_heads, self.head_dim),
            table_width: (self.length_class / page_size).clamp(1, i32::MAX as u32 / page_size),
            dtype: self.dtype,
            sources: Source::mean(&vec![heads.as_slice(); self.sources as usize], self.tokens),
            accumulate: self.accumulate,
        }
    }

    /// The key with its capacities at the upper ends of their buckets.
    fn rounded_up(self) -> Self {
        let batch = bucket::batch(self.batch);
        let length_class = bucket::length_class(self.length_class.max(self.page_size).into());
        let most = self.kv_heads_read.saturating_mul(self.group());
        let heads = bucket::rows(self.heads).min(most).min(MAX_COLUMNS / self.tokens.max(1));
        Self {
            batch,
            length_class,
            mean_length: bucket::mean_length(batch, self.mean_length).min(length_class),
            sources: bucket::sources(self.sources),
            heads,
            tokens: bucket::rows(self.tokens).min(MAX_COLUMNS / heads.max(1)),
            ..self
        }
    }

    /// Checks that a valid problem can have it.
    ///
    /// # Errors
    /// The first field that no valid problem has.
    pub(super) fn validate(&self) -> Result<(), InvalidInput> {
        let error =
            |field, required: String, actual: u32| Err(InvalidInput::new(OPERATION, field, required, actual));
        self.cache().validate()?;
        if !(1..=self.kv_heads).contains(&self.kv_heads_read) {
            return error("key.kv_heads_read", format!("from 1 to {}", self.kv_heads), self.kv_heads_read);
        }
        let most = self.kv_heads_read * self.group();
        if !(self.kv_heads_read..=most).contains(&self.heads) {
            return error("key.heads", format!("from {} to {most}", self.kv_heads_read), self.heads);
        }
        let most = MAX_COLUMNS / self.heads;
        if !(1..=most).contains(&self.tokens) {
            return error("key.tokens", format!("from 1 to {most}"), self.tokens);
        }
        let end = self.rounded_up();
        require_ends([
            ("key.batch", self.batch, end.batch),
            ("key.length_class", self.length_class, end.length_class),
            ("key.mean_length", self.mean_length, end.mean_length),
            ("key.sources", self.sources, end.sources),
            ("key.heads", self.heads, end.heads),
            ("key.tokens", self.tokens, end.tokens),
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

impl fmt::Display for ScoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, mean_length, length_class, sources, heads, kv_heads_read, tokens, .. } = self;
        write!(f, "{}, batch {batch} x {mean_length} of {length_class} tokens", self.cache())?;
        write!(f, ", {sources} sources of {heads} heads on {kv_heads_read} KV heads, {tokens} query tokens")?;
        f.write_str(if self.accumulate { ", accumulate" } else { "" })
    }
}
