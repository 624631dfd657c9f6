//! Probabilities of captured queries, gathered by the library's CPU back end.

use dustin::{
    Dtype, InvalidInput,
    cpu::{CpuBackend, score::default_candidate},
    kv::PagedKv,
    score::{
        arrays::{ScoreArrays, ScoreStrides, SourceArrays},
        problem::{CapturedHead, ScoreProblem, Source},
    },
};

use super::steps::Packed;

/// Query heads of one layer of a prompt that read one KV head.
pub(super) struct Heads<'a> {
    /// The KV head's keys, `[positions, dim]`.
    pub(super) keys: &'a [u16],
    /// The heads' queries, `[heads, rows, dim]`.
    pub(super) queries: &'a [u16],
    /// Query heads.
    pub(super) heads: u32,
    /// Queries of each head.
    pub(super) rows: u32,
    /// Items in a head.
    pub(super) dim: u32,
    /// Element type of queries and keys.
    pub(super) dtype: Dtype,
    /// The softmax scale.
    pub(super) scale: f32,
}

/// Adds to `map`, packed as `sequences` are, `weight` times the heads' probabilities over each sequence's positions: of the `tokens`
/// queries from row `first_rows[sequence]` on.
pub(super) fn gather(
    backend: &mut CpuBackend,
    heads: &Heads<'_>,
    first_rows: &[i32],
    tokens: u32,
    sequences: &Packed,
    weight: f32,
    map: &mut [f32],
) -> Result<(), InvalidInput> {
    let Heads { keys, queries, heads, rows, dim, dtype, scale } = *heads;
    let positions = (keys.len() / dim as usize) as u32;
    let stride = u64::from(dim);
    let problem = ScoreProblem {
        batch: first_rows.len() as u32,
        map_capacity: sequences.positions() as u32,
        tokens,
        // A slot is a row, so that the next captured token is the next slot's first.
        slots: rows + 1 - tokens,
        query_heads: heads,
        // Pages of one token: the tensor is the cache.
        kv: PagedKv {
            pages: positions,
            page_size: 1,
            kv_heads: 1,
            head_dim: dim,
            page_stride: stride,
            token_stride: stride,
            kv_head_stride: stride * u64::from(positions),
        },
        table_width: positions,
        dtype,
        sources: vec![Source { heads: (0..heads).map(|head| CapturedHead { head, weight }).collect() }],
        accumulate: true,
    };
    let table: Vec<i32> = (0..first_rows.len()).flat_map(|_| 0..positions.cast_signed()).collect();
    let candidate = default_candidate(&problem, backend.limits())?;
    let arrays = ScoreArrays {
        sources: vec![SourceArrays { query: queries, key: keys }],
        slots: Some(first_rows),
        block_table: &table,
        lengths: &sequences.lengths,
        map_starts: &sequences.starts,
        scale,
        strides: ScoreStrides {
            query_slot: stride,
            query_token: stride,
            query_head: stride * u64::from(rows),
            table: positions.into(),
        },
    };
    let status = backend.score(&problem, &candidate, &arrays, map)?;
    debug_assert_eq!(status, 0, "lengths, slots and pages are the capture's");
    Ok(())
}
