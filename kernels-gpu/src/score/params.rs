//! What the launches of scoring are told.

use super::packed::Format;
use crate::simt::Global;

/// The sequences of a launch, and where their parts of the map lie. The same for all sources of a map.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sequences {
    /// Confirmed lengths, `[batch]`. A negative length counts as none.
    pub lengths: Global<i32>,
    /// First position of each sequence's part of the map and, last, the end, `[batch + 1]`, ascending.
    pub map_starts: Global<i32>,
    /// The sticky status word: see [`Fault::word`](crate::fault::Fault::word).
    pub status: Global<u64>,
    /// Positions of the map, for all sequences.
    pub map_capacity: u32,
}

/// A layer's paged keys.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// Items from one page to the next; a multiple of 8, as are the other strides of keys and queries.
    pub page_stride: u64,
    /// Items from one token of a page to the next.
    pub token_stride: u64,
    /// Items from one KV head to the next.
    pub kv_head_stride: u64,
    /// Physical page numbers, `[batch, table_width]`.
    pub block_table: Global<i32>,
    /// Items from one sequence's table to the next.
    pub table_stride: u64,
    /// Pages in the cache. All of its items, divided by 8, can be counted in 32 bits.
    pub pages: u32,
    /// Pages in one sequence's table.
    pub table_width: u32,
    /// log2 of the page size.
    pub page_shift: u32,
    /// The softmax scale times log2(e).
    pub scale_log2: f32,
}

/// Where captured queries lie: `[slots, tokens, heads, head_dim]`, 16-bit items.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    /// The slot of each sequence's queries, `[batch]`; a negative slot means that there are none. Null: sequence `b` has
    /// slot `b`.
    pub slots: Global<i32>,
    /// Items from one slot to the next.
    pub slot_stride: u64,
    /// Items from one query token to the next.
    pub token_stride: u64,
    /// Items from one captured head to the next.
    pub head_stride: u64,
    /// Slots.
    pub capacity: u32,
    /// Captured query tokens.
    pub tokens: u32,
}

/// One source: captured queries of some heads of one layer, and that layer's keys.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Captured queries after rotary embedding.
    pub query: Global<u16>,
    /// Key cache after rotary embedding, pages of `page_size` tokens, 16-bit items; `head_dim` contiguous.
    pub key: Global<u16>,
    /// The captured heads by the KV head that they read, `[kv_groups + 1, 2]`: KV head, and first captured head; last an
    /// entry whose first captured head is the number of heads.
    pub groups: Global<u32>,
    /// Distinct KV heads that the captured heads read.
    pub kv_groups: u32,
}

/// Where a source's exponentials and sums lie, and the map that they are folded into.
///
/// A source's columns are KV head by KV head, within it token by token, within it head by head; a KV head's columns fill
/// groups of [`COLUMN_GROUP`](super::smem::COLUMN_GROUP) of their own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    /// The map, `[map_capacity]`.
    pub map: Global<f32>,
    /// Weight of each column, `[groups, 8]`; 0 where a group has no further column.
    pub weights: Global<f32>,
    /// The slots of the source's queries, as in [`Slots`].
    pub slots: Global<i32>,
    /// Exponentials relative to the bases of their chunks, in parts of one sequence each
    /// ([`part_start`](super::layout::part_start)), within a part `[groups, positions, width]`: floats, or, where the width
    /// is 8, packed in 16 bits.
    pub exponentials: Global<u32>,
    /// Of each chunk's logits, in units of log2, a base and the sum of their exponentials relative to it, fp32 in the low and
    /// the high half, `[batch, group_capacity, 8, MAX_CHUNKS]`.
    pub sums: Global<u64>,
    /// Groups of columns that the workspace has room for.
    pub group_capacity: u32,
    /// Groups of columns of the source; 0 where there is nothing to fold.
    pub groups: u32,
    /// log2 of the width: the columns of each group that have places in the workspace, up to 8. The same for all sources, so that
    /// what a warp overwrites is what it has folded.
    pub width_log2: u32,
    /// Slots of captured queries.
    pub slot_capacity: u32,
    /// 1 to add to what the map holds, 0 to overwrite it.
    pub accumulate: u32,
}

impl Fold {
    /// How the exponentials are stored.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn format(&self) -> Format {
        Format { width_log2: self.width_log2 }
    }
}

/// The arguments of the `logits` kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The sequences.
    pub sequences: Sequences,
    /// The source's paged keys.
    pub cache: Cache,
    /// The source's captured queries.
    pub slots: Slots,
    /// What is scored.
    pub source: Source,
    /// Where its exponentials and sums go.
    pub own: Fold,
    /// What the source before left in the same workspace, with sums of its own; no groups for the first source.
    pub before: Fold,
}

/// The arguments of the `fold` kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FoldParams {
    /// The sequences.
    pub sequences: Sequences,
    /// What the last source left.
    pub last: Fold,
}
