//! The legal tiles of the attention kernel.

use super::smem::Plan;

/// One tile configuration. A block works through its tokens one tile at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Warps in a block: 4, 8 or 16.
    pub warps: u32,
    /// Groups of 16 tokens that each warp scores per tile.
    pub groups: u32,
    /// Groups of 8 query columns that a block serves.
    pub columns: u32,
    /// Slots of the ring that gathered tiles pass through; keys and values take one each.
    pub stages: u32,
}

impl Tile {
    /// Tokens in a tile.
    #[must_use]
    pub const fn tokens(self) -> u32 {
        16 * self.groups * self.warps
    }

    /// Threads in a block.
    #[must_use]
    pub const fn threads(self) -> u32 {
        32 * self.warps
    }

    /// Query columns (pairs of query row and query head) that a block serves.
    #[must_use]
    pub const fn query_columns(self) -> u32 {
        8 * self.columns
    }

    /// Warps that share out the head dimension, 16 at a time, when values are summed.
    #[must_use]
    pub const fn dim_warps(self, head_dim: u32) -> u32 {
        if self.warps < head_dim / 16 { self.warps } else { head_dim / 16 }
    }

    /// Groups of 16 of the head dimension that one warp sums.
    #[must_use]
    pub const fn dims(self, head_dim: u32) -> u32 {
        head_dim / 16 / self.dim_warps(head_dim)
    }

    /// Groups of warps that share out the tokens of a tile when values are summed.
    #[must_use]
    pub const fn token_warps(self, head_dim: u32) -> u32 {
        self.warps / self.dim_warps(head_dim)
    }

    /// Rejects, at compile time, what the kernel cannot run.
    pub const fn check(self, head_dim: u32) {
        assert!(head_dim == 64 || head_dim == 128, "the head size is 64 or 128");
        assert!(self.warps.is_power_of_two() && self.warps >= 4 && self.warps <= 16, "4, 8 or 16 warps");
        assert!(self.groups >= 1 && self.groups <= 4, "a warp scores 16 to 64 tokens of a tile");
        assert!(self.columns >= 1 && self.columns <= 8, "a block serves 8 to 64 query columns");
        assert!(self.stages >= 2, "keys and values need a slot each");
        assert!(
            Plan::new(self, head_dim).bytes <= 227 * 1024,
            "a block has at most 227 KiB of shared memory"
        );
    }
}
