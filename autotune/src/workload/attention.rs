//! Workloads of sparse attention.

use std::fmt;

use dustin::attention::problem::{AttentionProblem, Confirmed, Mask, Sets};

use super::CacheShape;

/// Sparse attention of one layer of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// The model's caches.
    pub cache: CacheShape,
    /// Query rows of each sequence (γ + 1).
    pub rows: u32,
    /// Confirmed tokens that attention may read per sequence.
    pub k: u32,
    /// Whether the log-sum-exp is asked for.
    pub lse: bool,
}

impl AttentionShape {
    pub(super) fn problem(&self) -> Result<AttentionProblem, String> {
        let Self { cache, rows, k, lse } = *self;
        let (kv, table_width) = cache.cache(rows)?;
        if k > cache.context {
            return Err(format!(
                "the budget of {k} tokens must be at most the context, {} tokens",
                cache.context
            ));
        }
        Ok(AttentionProblem {
            batch: cache.batch,
            rows,
            total_rows: cache.batch.saturating_mul(rows),
            confirmed: Confirmed::Sets(Sets::of_positions(k)),
            query_heads: cache.local()?.query_heads,
            kv,
            table_width,
            dtype: cache.dtype,
            mask: Mask::Causal,
            lse,
            batch_invariant: false,
        })
    }
}

impl fmt::Display for AttentionShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cache, rows, k, lse } = self;
        let lse = if *lse { ", LSE" } else { "" };
        write!(f, "{}, {rows} rows, k {k}, {}{lse}", cache.head(), cache.tail())
    }
}
