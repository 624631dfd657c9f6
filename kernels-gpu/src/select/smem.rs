//! The plan of a block's shared memory, whose size follows from it.

use super::{config::Tile, histogram::BINS};

/// The most blocks of a cluster.
pub const MAX_BLOCKS: u32 = 8;

/// Byte offsets of the regions of a block's shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many units of the whole sequence have each digit, `[2, bins]` u32: the passes take turns.
    pub totals: u32,
    /// How many of the block's own have, `[bins]` u32; where one block has the sequence, the totals serve.
    pub own: u32,
    /// How many candidates of each map the block has found, `[2]` u32.
    pub found_here: u32,
    /// Which units of each map are chosen, `[2, words]` u32 of a bit each.
    pub bits: u32,
    /// Words of bits of one map.
    pub words: u32,
    /// Bytes of all that, which are zeroed first.
    pub cleared: u32,
    /// The digit that a pass ends with, a word of 16 bytes.
    pub found: u32,
    /// Sums of the totals that each warp has read, `[warps]` u32.
    pub warp_sums: u32,
    /// Positions that each warp of the cluster has chosen, `[blocks, warps]` u32.
    pub chosen: u32,
    /// How many candidates of each map each block of the cluster has found, `[blocks, 2]` u32.
    pub found_there: u32,
    /// The ranks of the candidates of all blocks, `[2, room]` u64; then the chosen positions, u32.
    pub candidates: u32,
    /// Candidates of one map that there is room for, in all blocks' equal shares.
    pub room: u32,
    /// Bytes in all.
    pub bytes: u32,
}

impl Plan {
    /// The plan of a block of a configuration.
    #[inline(always)]
    #[must_use]
    pub const fn new(tile: Tile) -> Self {
        let own = 2 * BINS * 4;
        let found_here = own + if tile.clustered { BINS * 4 } else { 0 };
        let bits = found_here + 16;
        // 262,144 units for the largest blocks, which have a multiprocessor to themselves; else 65,536.
        let words = if tile.warps == 32 { 8192 } else { 2048 };
        let cleared = bits + 2 * words * 4;
        let found = cleared;
        let warp_sums = found + 16;
        let chosen = warp_sums + tile.warps * 4;
        let found_there = chosen + tile.max_blocks() * tile.warps * 4;
        let candidates = (found_there + tile.max_blocks() * 2 * 4).next_multiple_of(16);
        let room = if tile.clustered { 256 * tile.warps } else { 2048 };
        let bytes = candidates + 2 * room * 8;
        Self {
            totals: 0,
            own,
            found_here,
            bits,
            words,
            cleared,
            found,
            warp_sums,
            chosen,
            found_there,
            candidates,
            room,
            bytes,
        }
    }
}
