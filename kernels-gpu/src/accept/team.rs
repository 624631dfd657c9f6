//! The blocks that share a sequence.

use super::smem::Plan;
use crate::simt::{
    Shared, WARP, barrier, cluster, shuffle,
    thread::{lane, thread_index, warp},
};

/// The calling block, of `W` warps, and those that it shares its sequence with: the `C` blocks of its cluster.
#[derive(Clone, Copy)]
pub(super) struct Team<const W: u32, const C: u32> {
    /// The block's rank among them.
    pub(super) rank: u32,
    /// What the block's shared memory holds.
    pub(super) plan: Plan,
    /// Values that have been combined so far.
    combined: u32,
}

impl<const W: u32, const C: u32> Team<W, C> {
    /// Warps of the team, as many as values are combined.
    const WARPS: u32 = W * C;

    /// The calling block's.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_block() -> Self {
        let rank = if C > 1 { cluster::rank() } else { 0 };
        Self { rank, plan: Plan::new(W), combined: 0 }
    }

    /// Whether the calling thread speaks for the team.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn leads(&self) -> bool {
        self.rank == 0 && thread_index() == 0
    }

    /// The first of the four tokens that the calling thread looks at first.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn first_token(&self) -> u32 {
        4 * (self.rank * W * WARP + thread_index())
    }

    /// Tokens from those that a thread looks at to the next.
    pub(super) const STRIDE: u32 = 4 * WARP * Self::WARPS;

    /// Combines the values of all threads of the team by `combine`, which does not mind their order, in every thread. All
    /// threads take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub(super) fn combine(&mut self, value: u64, nothing: u64, combine: impl Fn(u64, u64) -> u64) -> u64 {
        let offset = if self.combined.is_multiple_of(2) { self.plan.values[0] } else { self.plan.values[1] };
        self.combined += 1;
        let values = Shared::<u64>::at(offset);
        let of_warp = among_lanes(value, &combine);
        let mut of_team = nothing;
        // SAFETY: there is room for a value of each warp. Who writes these places again has passed the next barrier, which every
        // warp reaches once it has read them. The team's other blocks have started when the barrier is passed, and [`Team::part`]
        // keeps them.
        unsafe {
            if lane() == 0 {
                values.store(warp(), of_warp);
            }
            if C > 1 {
                cluster::sync();
            } else {
                barrier::block_sync_aligned();
            }
            for turn in 0..Self::WARPS.div_ceil(WARP) {
                let index = turn * WARP + lane();
                if index < Self::WARPS {
                    let other =
                        if C > 1 { values.of_block(index / W).load(index % W) } else { values.load(index) };
                    of_team = combine(of_team, other);
                }
            }
        }
        among_lanes(of_team, &combine)
    }

    /// Lets the team part: behind it no block looks at another's shared memory. All threads take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub(super) fn part(&self) {
        if C > 1 && self.combined > 0 {
            cluster::sync();
        }
    }
}

/// Combines the values of all lanes, in every lane. All lanes of the warp take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
fn among_lanes(mut value: u64, combine: &impl Fn(u64, u64) -> u64) -> u64 {
    let mut mask = WARP / 2;
    while mask > 0 {
        let half = |half: u32| u64::from(shuffle::shuffle_xor(half, mask));
        let other = half(value as u32) | half((value >> 32) as u32) << 32;
        value = combine(value, other);
        mask /= 2;
    }
    value
}
