//! The legal configurations of the scoring kernels.

/// One configuration of the `logits` kernel. A warp works through a chunk 16 tokens of one KV head at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Warps in a block: 2 to 16.
    pub warps: u32,
    /// Tiles of keys that a warp has in flight while it works on as many.
    pub depth: u32,
}

impl Tile {
    /// Threads in a block.
    #[must_use]
    pub const fn threads(self) -> u32 {
        32 * self.warps
    }

    /// Rejects, at compile time, what the kernel cannot run.
    pub const fn check(self, head_dim: u32) {
        assert!(head_dim == 64 || head_dim == 128, "the head size is 64 or 128");
        assert!(self.warps.is_power_of_two() && self.warps >= 2 && self.warps <= 16, "2, 4, 8 or 16 warps");
        assert!(
            self.depth >= 1 && self.depth * head_dim <= 256,
            "two rounds of tiles must fit the registers"
        );
    }
}
