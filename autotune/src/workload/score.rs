//! Workloads of scoring.

use std::fmt;

use dustin::score::problem::{ScoreProblem, Source};

use super::{CacheShape, counted};

/// Scores of some heads of some layers of a model, each head as good as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreShape {
    /// The model's caches.
    pub cache: CacheShape,
    /// Layers.
    pub layers: u32,
    /// Captured heads of each layer.
    pub heads: u32,
    /// KV heads that they read, which decide the time.
    pub kv_heads_read: u32,
    /// Captured query tokens of each sequence.
    pub tokens: u32,
}

impl ScoreShape {
    pub(super) fn problem(&self) -> Result<ScoreProblem, String> {
        let Self { cache, layers, heads, kv_heads_read, tokens } = *self;
        let geometry = cache.local()?;
        let (group, kv_heads) = (geometry.group(), geometry.kv_heads);
        if !(1..=kv_heads).contains(&kv_heads_read) {
            return Err(format!(
                "it must read from 1 to {kv_heads} KV heads, but is to read {kv_heads_read}"
            ));
        }
        let most = kv_heads_read * group;
        if !(kv_heads_read..=most).contains(&heads) {
            return Err(format!(
                "{kv_heads_read} KV heads are read by {kv_heads_read} to {most} query heads, but not by {heads}"
            ));
        }
        if !(1..=1024).contains(&layers) {
            return Err(format!("there must be from 1 to 1024 layers, but there are {layers}"));
        }
        let captured = Source::spread_heads(heads, kv_heads_read, kv_heads, group);
        // The step's own rows need room in the tables that scoring shares with attention.
        let (kv, table_width) = cache.cache(tokens)?;
        let map = u64::from(cache.batch) * u64::from(cache.context);
        Ok(ScoreProblem {
            batch: cache.batch,
            map_capacity: u32::try_from(map).unwrap_or(u32::MAX),
            tokens,
            slots: cache.batch,
            query_heads: geometry.query_heads,
            kv,
            table_width,
            dtype: cache.dtype,
            sources: Source::mean(&vec![captured.as_slice(); layers as usize], tokens),
            accumulate: false,
        })
    }
}

impl fmt::Display for ScoreShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cache, layers, heads, kv_heads_read, tokens } = self;
        let (layers, heads) = (counted(*layers, "layer"), counted(*heads, "head"));
        let (read, tokens) = (counted(*kv_heads_read, "KV head"), counted(*tokens, "query token"));
        write!(f, "score {}, {layers} of {heads} on {read}, {tokens}, {}", cache.head(), cache.tail())
    }
}
