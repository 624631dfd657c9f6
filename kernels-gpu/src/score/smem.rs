//! The plan of a block's shared memory, whose size follows from it and from what is scored.

use super::config::Tile;

/// Columns that one tensor-core product serves.
pub const COLUMN_GROUP: u32 = 16;

/// Byte offsets of the regions of a block's shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Keys, `[warps, depth]` tiles: each warp's ring, written and read by all of its lanes.
    pub keys: u32,
    /// Queries as the products take them, `[column_groups, head_dim / 16, lanes]` words of 16 bytes.
    pub queries: u32,
    /// Running base and sum of two columns for each thread, `[column_groups, threads]` words of 16 bytes.
    pub running: u32,
    /// What the captured heads of each KV head are, `[kv_groups, 2]` words of 16 bytes.
    pub groups: u32,
    /// Normalisers and weights of the columns of the source before, `[before, 2]` fp32.
    pub norms: u32,
    /// Bytes in all.
    pub bytes: u32,
}

impl Plan {
    /// The plan of a block for `column_groups` of heads of `head_dim` that read `kv_groups` KV heads, with `before` columns
    /// of the source before.
    #[inline(always)]
    #[must_use]
    pub const fn new(tile: Tile, head_dim: u32, kv_groups: u32, column_groups: u32, before: u32) -> Self {
        let queries = tile.warps * tile.depth * tile.bytes(head_dim);
        let running = queries + column_groups * COLUMN_GROUP * head_dim * 2;
        let groups = running + column_groups * tile.threads() * 16;
        let norms = groups + kv_groups * 32;
        Self { keys: 0, queries, running, groups, norms, bytes: norms + before * 8 }
    }
}
