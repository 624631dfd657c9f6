//! The blocks that share a sequence.

use super::{config::Tile, smem::Plan};
use crate::simt::{
    barrier, cluster,
    thread::{thread_index, warp},
};

/// The calling block and those that it shares its sequence with: the blocks of its cluster where `CLUSTERED`, none else.
#[derive(Clone, Copy)]
pub(super) struct Team<const CLUSTERED: bool> {
    /// The block's rank among them.
    pub(super) rank: u32,
    /// How many they are.
    pub(super) blocks: u32,
    /// Warps in each.
    pub(super) warps: u32,
    /// Shared memory of each.
    pub(super) plan: Plan,
}

impl<const CLUSTERED: bool> Team<CLUSTERED> {
    /// The calling block's, of blocks of `warps` warps.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_block(warps: u32) -> Self {
        let (rank, blocks) = if CLUSTERED { (cluster::rank(), cluster::size()) } else { (0, 1) };
        Self { rank, blocks, warps, plan: Plan::new(Tile { warps, clustered: CLUSTERED }) }
    }

    /// Tells the team that the block has come so far, and nothing else: that it has started, which each waits for before it
    /// accesses the others' shared memory, or that it needs them no more.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub(super) fn announce(&self) {
        if CLUSTERED {
            cluster::arrive_releasing(false);
        }
    }

    /// Waits until every thread of the team has arrived. All of them must reach it.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub(super) fn sync(&self) {
        self.arrive();
        self.wait();
    }

    /// The first half of [`Team::sync`]: waits for the block alone.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub(super) fn arrive(&self) {
        barrier::block_sync_aligned();
        self.arrive_met();
    }

    /// [`Team::arrive`] of a block that has just met: what its threads did before, and its warp 0 since, is ordered.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub(super) fn arrive_met(&self) {
        if CLUSTERED {
            // A release costs each thread a fence of the whole GPU: one warp releases what the block has handed it.
            cluster::arrive_releasing(warp() == 0);
        }
    }

    /// The second half of [`Team::sync`], or of [`Team::announce`]: waits for the other blocks.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub(super) fn wait(&self) {
        if CLUSTERED {
            cluster::wait();
        }
    }

    /// The calling warp's number in the team.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn warp(&self) -> u32 {
        self.rank * self.warps + warp()
    }

    /// Warps of the team.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn all_warps(&self) -> u32 {
        self.blocks * self.warps
    }

    /// The calling thread's number in the team.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn thread(&self) -> u32 {
        self.rank * self.block_threads() + thread_index()
    }

    /// Threads of the team.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn all_threads(&self) -> u32 {
        self.blocks * self.block_threads()
    }

    /// How many of `units` units a thread has at most, where threads take turns.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn thread_units(&self, units: u32) -> u32 {
        let all_threads = self.all_threads();
        // Clusters are of 1, 2, 4 or 8 blocks: a shift in place of a division.
        (units + all_threads - 1) >> all_threads.trailing_zeros()
    }

    /// Threads in a block.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn block_threads(&self) -> u32 {
        32 * self.warps
    }

    /// How many of `units` units a warp has, a multiple of 32; the last ones may have fewer.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn warp_units(&self, units: u32) -> u32 {
        let all_warps = self.all_warps();
        ((units + all_warps - 1) >> all_warps.trailing_zeros()).next_multiple_of(32)
    }

    /// The units, of `units`, that are the calling warp's: first and end.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn share(&self, units: u32) -> [u32; 2] {
        let share = self.warp_units(units);
        // Warps are few: what they are multiplied by exceeds the units by less than 32 each.
        let begin = (self.warp() * share).min(units);
        [begin, (begin + share).min(units)]
    }
}
