//! What the launches of appending, of compacting and of capturing are told. Strides count items (elements, not bytes).

use crate::simt::Global;

/// A step: the rows of a batch's sequences, and where the caches keep them. The same in every layer.
///
/// What only the device knows (lengths, row counts, tables) is checked on the device: rows without a place are left out,
/// and reported through [`Step::status`]. No two rows of a step may have the same place, in whatever sequence.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Items from one page to the next, in all caches; a multiple of 8, as are the other strides of caches.
    pub page_stride: u64,
    /// Items from one token of a page to the next.
    pub token_stride: u64,
    /// Items from one KV head to the next.
    pub kv_head_stride: u64,
    /// Physical page numbers, `[batch, table_width]`.
    pub block_table: Global<i32>,
    /// Items from one sequence's table to the next.
    pub table_stride: u64,
    /// Confirmed lengths, `[batch]`: the position of each sequence's first row.
    pub lengths: Global<i32>,
    /// First row of each sequence and, last, the number of rows, `[batch + 1]`, ascending.
    pub row_starts: Global<i32>,
    /// The sticky status word: see [`Fault::word`](crate::fault::Fault::word).
    pub status: Global<u64>,
    /// Pages in each cache.
    pub pages: u32,
    /// Pages in one sequence's table.
    pub table_width: u32,
    /// log2 of the page size.
    pub page_shift: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// log2 of the words of 16 bytes in a head vector.
    pub word_shift: u32,
    /// Rows in the batch.
    pub total_rows: u32,
    /// The most rows that one sequence may have.
    pub row_capacity: u32,
}

/// The arguments of the `append` kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AppendParams {
    /// The step.
    pub step: Step,
    /// Keys of the rows after rotary embedding, `[total_rows, kv_heads, head_dim]`, 16-bit items; `head_dim` contiguous.
    pub key: Global<u16>,
    /// Items from one row's keys to the next's; a multiple of 8, as are the other three strides of rows.
    pub key_row_stride: u64,
    /// Items from one KV head's keys to the next's.
    pub key_head_stride: u64,
    /// Values of the rows, likewise.
    pub value: Global<u16>,
    /// Items from one row's values to the next's.
    pub value_row_stride: u64,
    /// Items from one KV head's values to the next's.
    pub value_head_stride: u64,
    /// The layer's key cache, pages of `page_size` tokens.
    pub key_cache: Global<u16>,
    /// The layer's value cache, with the strides of the key cache.
    pub value_cache: Global<u16>,
    /// Queries of the rows after rotary embedding, `[total_rows, query_heads, head_dim]`, 16-bit items; `head_dim` contiguous.
    /// Null where there are no query heads.
    pub query: Global<u16>,
    /// Items from one row's queries to the next's; a multiple of 8, as are the other three strides of queries.
    pub query_row_stride: u64,
    /// Items from one query head to the next.
    pub query_head_stride: u64,
    /// Where attention reads the queries, likewise; rows without a place in the caches have their queries there all the same.
    pub query_copy: Global<u16>,
    /// Items from one row's queries to the next's.
    pub query_copy_row_stride: u64,
    /// Items from one query head to the next.
    pub query_copy_head_stride: u64,
    /// Query heads, whose queries are copied; 0: none are.
    pub query_heads: u32,
}

/// The arguments of the `compact` kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CompactParams {
    /// The step.
    pub step: Step,
    /// The address of each layer's key cache, `[layers]`; one that is null or no multiple of 16 is reported, and the layer
    /// left as it is.
    pub key_caches: Global<u64>,
    /// The address of each layer's value cache, `[layers]`, likewise.
    pub value_caches: Global<u64>,
    /// The accepted rows of each sequence, `[batch, accepted_capacity]`: numbers of its own rows, from 0, ascending. The list
    /// ends before the first entry that is not above the one before, or no row of the sequence's.
    pub accepted: Global<i32>,
    /// Items from one sequence's list to the next.
    pub accepted_stride: u64,
    /// Entries of each list, `[batch]`: then an entry that ends the list before is a fault. Null: a negative entry ends a list
    /// that does not fill its capacity, and is none.
    pub accepted_counts: Global<i32>,
    /// Entries that one list has room for, at least 1.
    pub accepted_capacity: u32,
    /// Layers.
    pub layers: u32,
}

/// Words of 64 bits in a list of captured heads.
pub const HEAD_WORDS: usize = 16;

/// The most heads that one launch captures.
pub const MAX_CAPTURED_HEADS: u32 = 4 * HEAD_WORDS as u32;

/// The arguments of the `capture` kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CaptureParams {
    /// Queries of the rows after rotary embedding, `[total_rows, query_heads, head_dim]`, 16-bit items; `head_dim` contiguous.
    pub query: Global<u16>,
    /// Items from one row's queries to the next's; a multiple of 8, as are the other strides.
    pub query_row_stride: u64,
    /// Items from one query head to the next.
    pub query_head_stride: u64,
    /// First row of each sequence and, last, the number of rows, `[batch + 1]`, ascending.
    pub row_starts: Global<i32>,
    /// The row to capture of each sequence, counted from its first, `[batch]`; not looked at where a sequence has no rows. Null:
    /// the last one.
    pub rows: Global<i32>,
    /// The slot of each sequence, `[batch]`; nothing is captured of a sequence whose slot is negative. Null: sequence `b` has
    /// slot `b`.
    pub slots: Global<i32>,
    /// The captured queries of one token, `[slots, heads, head_dim]`, 16-bit items.
    pub captured: Global<u16>,
    /// Items from one slot to the next.
    pub slot_stride: u64,
    /// Items from one captured head to the next.
    pub captured_head_stride: u64,
    /// The sticky status word: see [`Fault::word`](crate::fault::Fault::word).
    pub status: Global<u64>,
    /// The heads, 16 bits each, the first in the lowest.
    pub head_list: [u64; HEAD_WORDS],
    /// Heads that are captured.
    pub heads: u32,
    /// Slots.
    pub slot_capacity: u32,
    /// Rows in the batch.
    pub total_rows: u32,
    /// log2 of the words of 16 bytes in a head vector.
    pub word_shift: u32,
}
