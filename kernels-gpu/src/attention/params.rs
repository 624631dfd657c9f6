//! What a launch of the attention kernel is told.

use crate::simt::Global;

/// The arguments of one launch. Strides count items of the array they belong to (elements, not bytes).
///
/// What only the device knows (lengths, row counts, sets, tables) is checked on the device: anything out of range is
/// treated as masked and reported through [`Params::status`]. Tokens that are read must be finite: a NaN in the value of
/// one of the step's own rows reaches all of the sequence's rows, also those that must not see it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// Queries after rotary embedding, `[total_rows, query_heads, head_dim]`, 16-bit items; heads contiguous.
    pub query: Global<u16>,
    /// Items from one query row to the next; a multiple of 8.
    pub query_row_stride: u64,
    /// Items from one query head to the next; a multiple of 8.
    pub query_head_stride: u64,
    /// Key cache after rotary embedding, pages of `page_size` tokens, 16-bit items; `head_dim` contiguous.
    pub key: Global<u16>,
    /// Value cache, with the strides of the key cache.
    pub value: Global<u16>,
    /// Items from one KV head to the next; a multiple of 8.
    pub kv_head_stride: u64,
    /// Physical page numbers, `[batch, table_width]`.
    pub block_table: Global<i32>,
    /// Items from one sequence's table to the next.
    pub table_stride: u64,
    /// Confirmed lengths, `[batch]`. A negative length masks all of the sequence's tokens.
    pub lengths: Global<i32>,
    /// First query row of each sequence and, last, the number of rows, `[batch + 1]`, ascending. Of sequences whose
    /// rows overlap, a row holds the output of any one.
    pub row_starts: Global<i32>,
    /// Positions of each sequence's verification set, `[batch, set_capacity]`, in any order.
    pub set: Global<i32>,
    /// Items from one sequence's set to the next.
    pub set_stride: u64,
    /// Positions in each sequence's set, `[batch]`.
    pub set_sizes: Global<i32>,
    /// Output, `[total_rows, query_heads, head_dim]`: 16-bit items, or fp32 where `output_f32` is set.
    pub output: Global<u16>,
    /// Items from one output row to the next; a multiple of 8.
    pub output_row_stride: u64,
    /// Items from one output head to the next; a multiple of 8.
    pub output_head_stride: u64,
    /// Log-sum-exp of each row and head, `[total_rows, query_heads]`, or null.
    pub lse: Global<f32>,
    /// Unnormalised outputs of the splits, `[splits, total_rows, query_heads, head_dim]`; null for one split.
    pub partial_output: Global<f32>,
    /// Maximum and sum of the splits, `[splits, total_rows, query_heads, 2]`; null for one split.
    pub partial_sums: Global<f32>,
    /// Splits that have finished, `[batch, kv_heads, chunks]`, zero between launches; null for one split.
    pub arrivals: Global<u32>,
    /// The sticky status word: see [`Fault::word`](crate::fault::Fault::word).
    pub status: Global<u64>,
    /// The softmax scale times log2(e), positive.
    pub scale_log2: f32,
    /// The unit of the log-sum-exp: ln(2) for base e, 1 for base 2.
    pub lse_unit: f32,
    /// Bytes of a *place*: what divides the distances both of pages and of tokens; a multiple of 16. All places of a cache
    /// can be counted in 32 bits.
    pub place_bytes: u32,
    /// Places from one page to the next, in both caches.
    pub page_places: u32,
    /// Places from one token of a page to the next.
    pub token_places: u32,
    /// Pages in the cache.
    pub pages: u32,
    /// Pages in one sequence's table.
    pub table_width: u32,
    /// log2 of the page size.
    pub page_shift: u32,
    /// Query heads that share one KV head, 1 to 16.
    pub group: u32,
    /// Query heads.
    pub query_heads: u32,
    /// Query rows in the batch, the capacity of `query` and `output`.
    pub total_rows: u32,
    /// The most query rows that one sequence may have.
    pub row_capacity: u32,
    /// The most positions that one sequence's set may have.
    pub set_capacity: u32,
    /// Chunks of query columns that one sequence's rows are divided into.
    pub chunks: u32,
    /// 1 if the output is fp32, else 0.
    pub output_f32: u32,
}
