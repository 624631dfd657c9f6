//! Candidates: the few units among which a map's choice lies, found by each block for itself.
//!
//! A unit that is among the best of its sequence is among the best of its block. So each block bounds the scores of its
//! own from below: of groups of four units the greatest scores are counted by their [coarse] digit, and as many groups
//! as units are wanted have a unit above the bound each. What lies above is handed to the team's leader, block 0, which
//! needs nothing more of the others: one exchange serves all. Most maps give little more than what is wanted.
//!
//! [coarse]: super::rank::coarse

use super::{
    histogram::Histogram,
    params::Params,
    rank::{coarse, key},
    scores::Scores,
    sequence::Choice,
    team::Team,
};
use crate::simt::{
    Shared, WARP, atomic, barrier, redux, shuffle,
    thread::{self, lane, warp},
    vote,
};

/// Units that a lane may have: in the 64 registers of a thread, one map's scores leave room.
pub(super) const MANY: usize = 16;

/// Units of which a lane keeps both maps' scores.
pub(super) const FEW: usize = 8;

/// Units of a group.
const GROUP: usize = 4;

/// A map's candidates from one block, in the leader's shared memory.
pub(super) struct Candidates {
    ranks: Shared<u64>,
    room: u32,
}

impl Candidates {
    /// Those of `map` that the team's block `block` has found.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_block<const CLUSTERED: bool>(team: &Team<CLUSTERED>, map: u32, block: u32) -> Self {
        let room = team.plan.room / team.blocks;
        let first = map * team.plan.room + block * room;
        Self { ranks: Shared::at(team.plan.candidates + 8 * first), room }
    }

    /// The rank of candidate `index`.
    ///
    /// # Safety
    /// It is below the number of those that were [gathered](gather), and the team has met since.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn rank(&self, index: u32) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { self.ranks.load(index) }
    }
}

/// How many candidates of `map` the team's block `block` has found.
///
/// # Safety
/// The team has met since they were [gathered](gather).
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn count<const CLUSTERED: bool>(team: &Team<CLUSTERED>, map: u32, block: u32) -> u32 {
    let counts = if CLUSTERED { team.plan.found_there } else { team.plan.found_here };
    // SAFETY: the plan has an item for each map and block; the caller's promise.
    unsafe { Shared::<u32>::at(counts).load(2 * block + map) }
}

/// Hands the leader the units that may be chosen, and returns whether it had room for all. All threads of the team take part
/// and get the same answer.
///
/// # Safety
/// As [`select`](super::kernel::select); the team's blocks have announced themselves and zeroed their histograms. Units are
/// single positions, whose scores are items, and a warp has up to `K` of them for each lane.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn gather<const CLUSTERED: bool, const K: usize>(
    team: &Team<CLUSTERED>,
    params: &Params,
    choice: &Choice,
) -> bool {
    let [begin, end] = team.share(choice.units);
    let first = begin + lane();
    let load = |map: u32| {
        let (map, count) =
            if map == 0 { (params.draft, choice.draft) } else { (params.target, choice.target) };
        if count == 0 {
            return [0.0; K];
        }
        let scores = Scores::new(params, map, choice.map_start, choice.length);
        // Taken as unknown, the numbers of the units are not kept in registers of their own for later use.
        // SAFETY: the caller's promise; the map is there, as something is wanted of it.
        unsafe { scores.items::<K>(thread::opaque(first)) }
    };
    // Few fit twice into the registers: then all loads are in flight together.
    let both = if K <= FEW { [load(0), load(1)] } else { [[0.0; K]; 2] };

    let mut free = 0;
    for i in 0..K {
        let unit = first + WARP * i as u32;
        free |= u32::from(unit < end && !choice.forces(unit)) << i;
    }
    // While the scores are on their way, what the block has zeroed is ordered, and the leader has long started.
    barrier::block_sync_aligned();
    team.wait();
    let block = team.block();
    let mut histogram = Histogram::zeroed(&block);
    // One copy of the code serves both maps: a kernel this short waits for its instructions, too.
    for map in choice.maps() {
        let scores = match map {
            _ if K > FEW => load(map),
            0 => both[0],
            _ => both[1],
        };
        // What the draft's map takes may be what is best by the target's.
        let wanted = if map == 0 { choice.draft } else { choice.draft + choice.target };
        // SAFETY: the caller's promise.
        unsafe { hand_over(team, &mut histogram, map, first, scores.map(key), free, wanted) };
    }
    // SAFETY: all threads of the team take part, having met.
    unsafe { exchange_counts(team) };
    let mut all = true;
    for map in 0..2 {
        // SAFETY: the team has met behind; lanes beyond the blocks take the last one's.
        let count = unsafe { count(team, map, lane().min(team.blocks - 1)) };
        all &= vote::ballot(count > team.plan.room / team.blocks) == 0;
    }
    all
}

/// Hands over those of the block's units that are free and may be among the `wanted` best of a map.
///
/// # Safety
/// The team has met behind [`Histogram::new`]. All threads of the block take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn hand_over<const CLUSTERED: bool, const K: usize>(
    team: &Team<CLUSTERED>,
    histogram: &mut Histogram<'_, false>,
    map: u32,
    first: u32,
    keys: [u32; K],
    free: u32,
    wanted: u32,
) {
    for group in 0..K / GROUP {
        let mut best = 0;
        for i in GROUP * group..GROUP * (group + 1) {
            best = best.max(if free >> i & 1 != 0 { keys[i] } else { 0 });
        }
        if free >> (GROUP * group) & ((1 << GROUP) - 1) != 0 {
            // SAFETY: a digit is one of the bins; the caller's promise, or the last `find`.
            unsafe { histogram.count(coarse(best)) };
        }
    }
    let bound = histogram.find(wanted).digit;
    let mut taken = 0;
    for i in 0..K {
        taken |= u32::from(coarse(keys[i]) >= bound) << i;
    }
    taken &= free;

    let mut place = 0;
    let count = redux::reduce_add(taken.count_ones());
    if lane() == 0 {
        let found = Shared::<u32>::at(team.plan.found_here);
        // SAFETY: the plan has an item for each map, accessed by atomics alone until the block meets.
        place = unsafe { atomic::shared_fetch_add(found, map, count) };
    }
    place = shuffle::shuffle_index(place, 0);
    let list = Candidates::of_block(team, map, team.rank);
    // The leader's memory, which it has in a cluster of its own, too.
    let ranks = list.ranks.of_block(0);
    let first = thread::opaque(first);
    for i in 0..K {
        let mine = taken >> i & 1 != 0;
        let mask = vote::ballot(mine);
        let place_of_mine = place + (mask & ((1 << lane()) - 1)).count_ones();
        if mine && place_of_mine < list.room {
            let rank = u64::from(keys[i]) << 32 | u64::from(!(first + WARP * i as u32));
            // SAFETY: the place is this thread's, and there is room for it.
            unsafe {
                if CLUSTERED {
                    ranks.store(place_of_mine, rank);
                } else {
                    list.ranks.store(place_of_mine, rank);
                }
            }
        }
        place += mask.count_ones();
    }
}

/// Tells every block of the team how many candidates each has found. The team meets.
///
/// # Safety
/// The team has met before. All its threads take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn exchange_counts<const CLUSTERED: bool>(team: &Team<CLUSTERED>) {
    barrier::block_sync_aligned();
    if CLUSTERED && warp() == 0 && lane() < 2 * team.blocks {
        let (map, block) = (lane() & 1, lane() >> 1);
        // SAFETY: the barrier orders the additions before; the plan has an item for each map and block, written by this
        // thread alone; the block has started, and ends behind the barrier.
        unsafe {
            let found = Shared::<u32>::at(team.plan.found_here).load(map);
            Shared::<u32>::at(team.plan.found_there).of_block(block).store(2 * team.rank + map, found);
        }
    }
    team.arrive_met();
    team.wait();
}
