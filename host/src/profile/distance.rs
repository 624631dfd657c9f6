//! How far a tuned bucket is from the bucket asked for.
//!
//! The distance is a weighted sum of octaves (|log₂ of the ratio|). Rows weigh double, since query columns decide the
//! tile; the length class weighs little, since only the selected tokens are read.
//!
//! | field | weight per octave |
//! |---|---|
//! | rows | 2 |
//! | batch, KV heads, set capacity | 1 |
//! | page size | ½ |
//! | length class | ¼ |
//! | log-sum-exp asked or not | ¼ in all |
//!
//! All others must be equal: kernel, policy, types, scaling, head size, GQA group, layout, index set and mask. The
//! device is the caller's business.

use super::key::Key;

/// The greatest distance that is called near: a choice from farther away is no better than the default.
pub const BOUND: f64 = 2.0;

/// The distance between two keys on whatever devices; nothing where a field differs that must be equal.
#[must_use]
pub fn between(asked: &Key, tuned: &Key) -> Option<f64> {
    // Taken apart in full, so that a new field cannot be forgotten here.
    let Key {
        device: _,
        kernel,
        policy,
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
    } = tuned;
    let alike = *kernel == asked.kernel
        && *policy == asked.policy
        && *dtype == asked.dtype
        && *kv_dtype == asked.kv_dtype
        && *kv_scale == asked.kv_scale
        && *head_dim == asked.head_dim
        && tuned.group() == asked.group()
        && *layout == asked.layout
        && *index_set == asked.index_set
        && *mask == asked.mask;
    alike.then(|| {
        2.0 * octaves(asked.rows, *rows)
            + octaves(asked.batch, *batch)
            + octaves(asked.kv_heads, *kv_heads)
            + octaves(asked.set_capacity, *set_capacity)
            + 0.5 * octaves(asked.page_size, *page_size)
            + 0.25 * octaves(asked.length_class, *length_class)
            + if *lse == asked.lse { 0.0 } else { 0.25 }
    })
}

fn octaves(a: u32, b: u32) -> f64 {
    (f64::from(a.max(1)).log2() - f64::from(b.max(1)).log2()).abs()
}
