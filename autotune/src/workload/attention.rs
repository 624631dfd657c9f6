//! Workloads of attention.

use std::fmt;

use dustin::attention::problem::{AttentionProblem, Confirmed, Mask, Sets};

use super::CacheShape;

/// Attention of one layer of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// The model's caches.
    pub cache: CacheShape,
    /// Query rows of each sequence (γ + 1, or those of a tree).
    pub rows: u32,
    /// Confirmed tokens that attention may read per sequence; nothing: all of them, without sets.
    pub k: Option<u32>,
    /// Which of the step's own rows a row sees.
    pub mask: Mask,
    /// Whether the log-sum-exp is asked for.
    pub lse: bool,
    /// Whether the choice must be one for every batch. The batch is then only that of the caches.
    pub batch_invariant: bool,
}

impl AttentionShape {
    pub(super) fn problem(&self) -> Result<AttentionProblem, String> {
        let Self { cache, rows, k, mask, lse, batch_invariant } = *self;
        let (kv, table_width) = cache.cache(rows)?;
        if let Some(k) = k.filter(|&k| k > cache.context) {
            return Err(format!(
                "the budget of {k} tokens must be at most the context, {} tokens",
                cache.context
            ));
        }
        Ok(AttentionProblem {
            batch: cache.batch,
            rows,
            total_rows: cache.batch.saturating_mul(rows),
            confirmed: k.map_or(Confirmed::Everything, |k| Confirmed::Sets(Sets::of_positions(k))),
            query_heads: cache.local()?.query_heads,
            kv,
            table_width,
            dtype: cache.dtype,
            mask,
            lse,
            batch_invariant,
        })
    }
}

impl fmt::Display for AttentionShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cache, rows, k, mask, lse, batch_invariant } = self;
        let tree = if *mask == Mask::Tree { " of a tree" } else { "" };
        write!(f, "{}, {rows} rows{tree}, ", cache.head())?;
        match k {
            Some(k) => write!(f, "k {k}")?,
            None => f.write_str("everything")?,
        }
        write!(f, ", {}", cache.tail())?;
        let flags = [(*lse, ", LSE"), (*batch_invariant, ", batch-invariant")];
        flags.iter().filter(|(asked, _)| *asked).try_for_each(|(_, word)| f.write_str(word))
    }
}
