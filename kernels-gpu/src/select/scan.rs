//! Sums over lanes, threads and warps.

use super::team::Team;
use crate::simt::{
    Shared, WARP, barrier, redux, shuffle,
    thread::{lane, warp},
};

/// The sum of a value over this lane and those below.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn sum_of_lanes_up_to_here(value: u32) -> u32 {
    let mut sum = value;
    for bit in 0..5 {
        let below = shuffle::shuffle_up(sum, 1 << bit);
        if lane() >= 1 << bit {
            sum += below;
        }
    }
    sum
}

/// The sum of `value` over the block's threads below the calling one. All threads of the block take part; between two such
/// sums they meet at a barrier.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn sum_of_threads_below<const CLUSTERED: bool>(team: &Team<CLUSTERED>, value: u32) -> u32 {
    let up_to_here = sum_of_lanes_up_to_here(value);
    let warp_sums = Shared::<u32>::at(team.plan.warp_sums);
    if lane() == 31 {
        // SAFETY: the plan has an item for each warp, which others read behind a barrier.
        unsafe { warp_sums.store(warp(), up_to_here) };
    }
    barrier::block_sync_aligned();
    // SAFETY: the barrier orders the stores before, of as many as there are warps.
    let warp_sum = if lane() < warp() { unsafe { warp_sums.load(lane()) } } else { 0 };
    redux::reduce_add(warp_sum) + up_to_here - value
}

/// The sum of `count` over the team's warps below the calling one. All threads of the team take part, once in a launch.
///
/// # Safety
/// The team has met, so that its blocks have started.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn sum_of_warps_below<const CLUSTERED: bool>(team: &Team<CLUSTERED>, count: u32) -> u32 {
    let counts = Shared::<u32>::at(team.plan.chosen);
    if lane() < team.blocks {
        // SAFETY: the plan has an item for each warp of the team, which that warp alone writes; the caller's promise, and
        // no block ends before the barrier.
        unsafe {
            if CLUSTERED {
                counts.of_block(lane()).store(team.warp(), count);
            } else {
                counts.store(team.warp(), count);
            }
        }
    }
    team.sync();
    let mut before = 0;
    let mut other = lane();
    while other < team.warp() {
        // SAFETY: every warp of the team has stored its count; the barrier orders that before.
        before += unsafe { counts.load(other) };
        other += WARP;
    }
    redux::reduce_add(before)
}
