//! The plan of a block's shared memory, whose size follows from it and from what is scored.

use super::config::Tile;

/// Columns that one tensor-core product serves.
pub const COLUMN_GROUP: u32 = 8;

/// Byte offsets of the regions of a block's shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Keys, `[warps, depth]` tiles: each warp's ring, written and read by all of its lanes.
    pub keys: u32,
    /// Queries as the products take them, `[column_groups, head_dim / 32, lanes]` words of 16 bytes.
    pub queries: u32,
    /// Base and sum of two columns for each thread, `[column_groups, threads]` words of 16 bytes.
    pub running: u32,
    /// What the captured heads of each KV head are, `[kv_groups, 2]` words of 16 bytes.
    pub groups: u32,
    /// What the source before is folded with.
    pub fold: FoldPlan,
    /// Bytes in all.
    pub bytes: u32,
}

impl Plan {
    /// The plan of a block for `column_groups` of heads of `head_dim` that read `kv_groups` KV heads, with `before` groups of
    /// columns of the source before.
    #[inline(always)]
    #[must_use]
    pub const fn new(tile: Tile, head_dim: u32, kv_groups: u32, column_groups: u32, before: u32) -> Self {
        let queries = tile.warps * tile.depth * tile.bytes(head_dim);
        let running = queries + column_groups * COLUMN_GROUP * head_dim * 2;
        let groups = running + column_groups * tile.threads() * 16;
        let fold = FoldPlan::new(groups + kv_groups * 32, tile.warps, before);
        Self { keys: 0, queries, running, groups, fold, bytes: fold.end }
    }
}

/// Byte offsets of what a source is folded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldPlan {
    /// Base of each column, and its weight divided by its sum, `[column_groups, 8, 2]` fp32.
    pub norms: u32,
    /// What each warp multiplies the exponentials of its chunk by, `[warps, column_groups, 8]` fp32.
    pub factors: u32,
    /// The end of it.
    pub end: u32,
}

impl FoldPlan {
    /// The plan from byte `start` on, a multiple of 16, for a block of `warps` and so many groups of columns.
    #[inline(always)]
    #[must_use]
    pub const fn new(start: u32, warps: u32, column_groups: u32) -> Self {
        let columns = column_groups * COLUMN_GROUP;
        let factors = start + columns * 8;
        Self { norms: start, factors, end: factors + warps * columns * 4 }
    }
}
