//! The legal configurations of the selection kernel.

use super::{
    histogram::BINS,
    smem::{MAX_BLOCKS, Plan},
};

/// One configuration of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Warps in a block: 8 or 16, or 32 where clustered.
    pub warps: u32,
    /// Whether a cluster of blocks may share a sequence; else it is one block's.
    pub clustered: bool,
}

impl Tile {
    /// Threads in a block.
    #[must_use]
    pub const fn threads(self) -> u32 {
        32 * self.warps
    }

    /// The most blocks that share a sequence: every GPU that has clusters has them of this size.
    #[must_use]
    pub const fn max_blocks(self) -> u32 {
        if self.clustered { MAX_BLOCKS } else { 1 }
    }

    /// Blocks that a multiprocessor shall have registers for, as far as shared memory lets it have them: 1024 threads, or half
    /// as many where sm_80's instructions need more.
    #[must_use]
    pub const fn blocks(self) -> u32 {
        if self.clustered { 32 / self.warps } else { 16 / self.warps }
    }

    /// Rejects, at compile time, what the kernel cannot run.
    pub const fn check(self) {
        assert!(
            self.warps.is_power_of_two() && self.warps <= 32,
            "one warp sums what all warps have counted"
        );
        assert!(self.blocks() >= 1, "a multiprocessor has registers for a block");
        assert!(2 * self.threads() <= BINS, "a thread takes pairs of bins");
        assert!(BINS <= 8 * self.threads(), "a thread keeps up to eight bins in registers");
        let room = if self.clustered { 227 } else { 99 };
        assert!(Plan::new(self).bytes <= room * 1024, "every GPU that the code is for has room for a block");
    }
}
