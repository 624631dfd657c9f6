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
    /// Bytes of these histograms, which are zeroed first.
    pub histograms: u32,
    /// The digit that a pass ends with, a word of 16 bytes.
    pub found: u32,
    /// Sums of the totals that each warp has read, `[warps]` u32.
    pub warp_sums: u32,
    /// Positions that each warp of the cluster has chosen, `[blocks, warps]` u32.
    pub chosen: u32,
    /// Bytes in all.
    pub bytes: u32,
}

impl Plan {
    /// The plan of a block of a configuration.
    #[inline(always)]
    #[must_use]
    pub const fn new(tile: Tile) -> Self {
        let own = 2 * BINS * 4;
        let histograms = own + if tile.clustered { BINS * 4 } else { 0 };
        let warp_sums = histograms + 16;
        let chosen = warp_sums + tile.warps * 4;
        let bytes = chosen + tile.max_blocks() * tile.warps * 4;
        Self { totals: 0, own, histograms, found: histograms, warp_sums, chosen, bytes }
    }
}
