//! The legal tiles of the attention kernel.

use super::smem::Plan;
use crate::simt::wgmma;

/// Shared memory that a block has at the most, in bytes.
const MOST_SHARED: u32 = 227 * 1024;

/// One tile configuration. A block's warps form teams, and each team works through tokens of its own, a step at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Groups of 16 query columns that a block serves: the warps of a team.
    pub columns: u32,
    /// Teams, which share out the tokens.
    pub teams: u32,
    /// Groups of 16 tokens in a step.
    pub groups: u32,
    /// Slots of a team's ring; a step's keys and values share one.
    pub stages: u32,
    /// Whether the launch may overlap the one before.
    pub overlaps: bool,
    /// Whether a team's warps multiply as warpgroups, four together, keys and values straight from shared memory.
    pub wgmma: bool,
}

impl Tile {
    /// Whether the splits of a sequence may be the blocks of a cluster, which merges through shared memory: where it pays, in tiles of
    /// one group of query columns, which serve small batches.
    #[must_use]
    pub const fn clusters(self, head_dim: u32) -> bool {
        self.overlaps && self.columns == 1 && Plan::new(self, head_dim).cluster_bytes <= MOST_SHARED
    }

    /// Warps in a block.
    #[must_use]
    pub const fn warps(self) -> u32 {
        self.columns * self.teams
    }

    /// Threads in a block.
    #[must_use]
    pub const fn threads(self) -> u32 {
        32 * self.warps()
    }

    /// Tokens in a step of one team.
    #[must_use]
    pub const fn step_tokens(self) -> u32 {
        16 * self.groups
    }

    /// Tokens in a step of all teams.
    #[must_use]
    pub const fn tokens(self) -> u32 {
        self.teams * self.step_tokens()
    }

    /// Query columns (pairs of query row and query head) that a block serves.
    #[must_use]
    pub const fn query_columns(self) -> u32 {
        16 * self.columns
    }

    /// Tokens of the first steps that a thread looks up before all copies: those of the slots, one step more, and where it is
    /// cheap some more.
    #[must_use]
    pub const fn first_tokens(self) -> u32 {
        let least = ((self.stages + 1) * self.step_tokens()).div_ceil(32 * self.columns);
        if least > 2 { least } else { 2 }
    }

    /// Steps of a team whose tokens are looked up before all copies.
    #[must_use]
    pub const fn first_steps(self) -> u32 {
        self.first_tokens() * 32 * self.columns / self.step_tokens()
    }

    /// Blocks that a multiprocessor has room for in shared memory, up to four: registers are bounded so that they fit, too.
    #[must_use]
    pub const fn blocks(self, head_dim: u32) -> u32 {
        // A multiprocessor has 228 KiB, of which each block takes one more than it asks for.
        let room = 228 * 1024 / (Plan::new(self, head_dim).bytes + 1024);
        // A thread of a warpgroup gets by with 128 registers, another with 168.
        let warps = if self.wgmma { 16 } else { 12 };
        let most = if self.warps() > warps { 1 } else { warps / self.warps() };
        let most = if most > 4 { 4 } else { most };
        if room < most { room } else { most }
    }

    /// Whether a thread has registers for its queries, beside its output, a step's logits and what else there is.
    #[must_use]
    pub const fn holds_queries(self, head_dim: u32) -> bool {
        if self.wgmma {
            // They come straight from shared memory.
            return false;
        }
        // The assembler gives registers to four warps at a time.
        head_dim / 2 + head_dim / 4 + 8 * self.groups + 64
            <= 2048 / (self.blocks(head_dim) * self.warps()).next_multiple_of(4)
    }

    /// Rejects, at compile time, what the kernel cannot run.
    pub const fn check(self, head_dim: u32) {
        assert!(head_dim == 64 || head_dim == 128, "the head size is 64 or 128");
        assert!(
            self.columns >= 1 && self.columns <= if self.wgmma { 8 } else { 4 },
            "a team has up to 4 warps, or 2 warpgroups"
        );
        assert!(self.teams >= 1 && self.teams <= 15, "there are 15 barriers for teams");
        assert!(self.warps() <= 16, "a warp needs 128 registers for each of its lanes");
        assert!(self.groups == 1 || self.groups == 2, "a lane looks one token of a step up");
        assert!(!self.wgmma || self.columns.is_multiple_of(4), "a warpgroup has four warps");
        let plan = Plan::new(self, head_dim);
        let aligned = plan.team.is_multiple_of(wgmma::ALIGNMENT)
            && plan.query.is_multiple_of(wgmma::ALIGNMENT)
            && (plan.slot / 2).is_multiple_of(wgmma::ALIGNMENT);
        assert!(!self.wgmma || aligned, "a warpgroup reads aligned rows");
        assert!(self.stages >= 2 && self.stages <= 8, "one slot is computed from while others are filled");
        assert!(plan.bytes <= MOST_SHARED, "a block has at most 227 KiB of shared memory");
    }
}
