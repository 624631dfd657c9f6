//! How far a tuned bucket is from the bucket asked for.
//!
//! The distance is a weighted sum of octaves (|log₂ of the ratio|), and of constants for flags that differ. In attention
//! rows weigh double, since query columns decide the tile, and the length class little, since only the selected tokens are
//! read; scoring and selection read them all.
//!
//! | field | attention | scoring | selection |
//! |---|---|---|---|
//! | batch | 1 | 1 | 1 |
//! | rows; heads, captured tokens | 2 | 1 each | |
//! | set capacity (¼ of whole caches), budget | 1 | | 1 |
//! | sources, KV heads read | | 1 each | |
//! | mean length | | 1 | 1 |
//! | KV heads | 1 | ¼ | |
//! | page size | ½ | ½ | |
//! | length class | ¼ | ¼ | |
//! | block | | | ½ |
//! | what sets are listed per: sequence, KV head, window | ½ in all | | |
//! | mask | ¼ in all | | |
//! | log-sum-exp; accumulating; physical slots, or not | ¼ in all | ¼ in all | ¼ in all |
//! | pooling or not | | | ½ in all |
//!
//! All others must be equal: kernel, policy, types, scaling, head size, GQA group, layout; whether all confirmed tokens are
//! read, and whether the choice is one for every batch; the maps that are read, and whether there is a quota. The device is the caller's business.

use super::key::{AttentionKey, IndexSet, KernelKey, Key, ScoreKey, SelectKey};

/// The greatest distance that is called near: a choice from farther away may be slower than the default. On an NVIDIA H200 choices of
/// buckets with half or twice the batch, the budget or the rows were so for 4 of 320 problems that `autotune audit` drew, by up to 12 %.
pub const BOUND: f64 = 0.75;

/// The distance between two keys on whatever devices; nothing where a field differs that must be equal.
#[must_use]
pub fn between(asked: &Key, tuned: &Key) -> Option<f64> {
    if asked.policy != tuned.policy {
        return None;
    }
    match (&asked.kernel, &tuned.kernel) {
        (KernelKey::SparseAttention(asked), KernelKey::SparseAttention(tuned)) => attention(asked, tuned),
        (KernelKey::SrhScore(asked), KernelKey::SrhScore(tuned)) => score(asked, tuned),
        (KernelKey::Selection(asked), KernelKey::Selection(tuned)) => select(asked, tuned),
        _ => None,
    }
}

// The keys are taken apart in full, so that a new field cannot be forgotten.

fn attention(asked: &AttentionKey, tuned: &AttentionKey) -> Option<f64> {
    let AttentionKey {
        dtype,
        kv_dtype,
        kv_scale,
        head_dim,
        query_heads: _,
        kv_heads,
        layout,
        page_size,
        batch,
        rows,
        set_capacity,
        length_class,
        index_set,
        mask,
        lse,
    } = *tuned;
    let alike = dtype == asked.dtype
        && kv_dtype == asked.kv_dtype
        && kv_scale == asked.kv_scale
        && head_dim == asked.head_dim
        && tuned.group() == asked.group()
        && layout == asked.layout
        && (index_set == IndexSet::Everything) == (asked.index_set == IndexSet::Everything)
        && (batch == AttentionKey::EVERY_BATCH) == (asked.batch == AttentionKey::EVERY_BATCH);
    alike.then(|| {
        2.0 * octaves(asked.rows, rows)
            + octaves(asked.batch, batch)
            + octaves(asked.kv_heads, kv_heads)
            // Of what is read as a whole the length is the set's capacity, too, and splits are as long as it takes.
            + if index_set == IndexSet::Everything { 0.25 } else { 1.0 } * octaves(asked.set_capacity, set_capacity)
            + 0.5 * octaves(asked.page_size, page_size)
            + 0.25 * octaves(asked.length_class, length_class)
            + if index_set == asked.index_set { 0.0 } else { 0.5 }
            + if mask == asked.mask { 0.0 } else { 0.25 }
            + if lse == asked.lse { 0.0 } else { 0.25 }
    })
}

fn score(asked: &ScoreKey, tuned: &ScoreKey) -> Option<f64> {
    let ScoreKey {
        dtype,
        kv_dtype,
        kv_scale,
        head_dim,
        query_heads: _,
        kv_heads,
        layout,
        page_size,
        batch,
        length_class,
        mean_length,
        sources,
        heads,
        kv_heads_read,
        tokens,
        accumulate,
    } = *tuned;
    let alike = dtype == asked.dtype
        && kv_dtype == asked.kv_dtype
        && kv_scale == asked.kv_scale
        && head_dim == asked.head_dim
        && tuned.group() == asked.group()
        && layout == asked.layout;
    alike.then(|| {
        octaves(asked.batch, batch)
            + octaves(asked.mean_length, mean_length)
            + octaves(asked.sources, sources)
            + octaves(asked.heads, heads)
            + octaves(asked.kv_heads_read, kv_heads_read)
            + octaves(asked.tokens, tokens)
            + 0.25 * octaves(asked.kv_heads, kv_heads)
            + 0.5 * octaves(asked.page_size, page_size)
            + 0.25 * octaves(asked.length_class, length_class)
            + if accumulate == asked.accumulate { 0.0 } else { 0.25 }
    })
}

fn select(asked: &SelectKey, tuned: &SelectKey) -> Option<f64> {
    let SelectKey { batch, mean_length, budget, maps, quota, block, pooling, physical } = *tuned;
    let alike = maps == asked.maps && quota == asked.quota;
    alike.then(|| {
        octaves(asked.batch, batch)
            + octaves(asked.mean_length, mean_length)
            + octaves(asked.budget, budget)
            + 0.5 * octaves(asked.block, block)
            + if pooling == asked.pooling { 0.0 } else { 0.5 }
            + if physical == asked.physical { 0.0 } else { 0.25 }
    })
}

fn octaves(a: u32, b: u32) -> f64 {
    (f64::from(a.max(1)).log2() - f64::from(b.max(1)).log2()).abs()
}
