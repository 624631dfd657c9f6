//! The legal configurations of the scoring kernels.

use super::{
    layout::{BASE, GRAIN},
    smem::Plan,
};

/// One configuration of the `logits` kernel. A warp works through a chunk a tile of tokens of one KV head at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Warps in a block: 1 to 16.
    pub warps: u32,
    /// Groups of 8 tokens in a tile: 2 or 4.
    pub groups: u32,
    /// Tiles of keys that a warp has room for in shared memory, all but the one at work in flight.
    pub depth: u32,
    /// Whether the launch of a source may overlap that of the source before.
    pub overlaps: bool,
}

impl Tile {
    /// Threads in a block.
    #[must_use]
    pub const fn threads(self) -> u32 {
        32 * self.warps
    }

    /// Blocks that a multiprocessor is to have registers for: those of 16 warps, or of fewer where tiles are large.
    #[must_use]
    pub const fn blocks(self, head_dim: u32) -> u32 {
        let warps = match (self.groups, head_dim) {
            (4, 128) => 8,
            _ => 16,
        };
        warps / self.warps
    }

    /// Bytes of one tile of keys.
    #[must_use]
    pub const fn bytes(self, head_dim: u32) -> u32 {
        8 * self.groups * head_dim * 2
    }

    /// Rejects, at compile time, what the kernel cannot run.
    pub const fn check(self, head_dim: u32) {
        assert!(head_dim == 64 || head_dim == 128, "the head size is 64 or 128");
        assert!(self.warps.is_power_of_two() && self.warps <= 16, "1, 2, 4, 8 or 16 warps");
        assert!(self.groups == 2 || self.groups == 4, "a tile has 16 or 32 tokens");
        assert!(self.depth >= 2, "a tile at work and one in flight");
        assert!(8 * self.groups <= GRAIN && BASE.is_multiple_of(8 * self.groups), "a chunk is whole tiles");
        assert!(self.blocks(head_dim) >= 1, "no more warps than a multiprocessor has registers for");
        assert!(
            Plan::new(self, head_dim, 1, 1, 0).bytes <= 227 * 1024,
            "a block has at most 227 KiB of shared memory"
        );
    }
}
