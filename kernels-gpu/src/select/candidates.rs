//! Candidates: the few units among which a map's choice lies, found by each block for itself.
//!
//! A unit that is among the best of its sequence is among the best of its block. So each block bounds the scores of its
//! own from below: of groups of four units the greatest scores are counted by their [coarse] digit, and as many groups
//! as units are wanted have a unit above the bound each. The units of a group lie far apart, so that runs of high scores do
//! not share one. What lies above is handed to the team's leader, block 0, which needs nothing more of the others: one
//! exchange serves all. Most maps give little more than what is wanted. Scores that do not fit a lane's registers are read
//! twice.
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

/// Units whose scores of one map a lane keeps: in the 64 registers of a thread, so many leave room.
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
    pub(super) fn found_by<const CLUSTERED: bool>(team: &Team<CLUSTERED>, map: u32, block: u32) -> Self {
        let room = room(team);
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

/// Candidates of a map that each block has room for.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn room<const CLUSTERED: bool>(team: &Team<CLUSTERED>) -> u32 {
    // Clusters are of 1, 2, 4 or 8 blocks: a shift in place of a division.
    team.plan.room >> team.blocks.trailing_zeros()
}

/// Whether the choice's candidates are likely to find room, and the set does: a bound leaves up to twice what is wanted of an
/// importance map.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn are_worth_it<const CLUSTERED: bool>(
    team: &Team<CLUSTERED>,
    params: &Params,
    choice: &Choice,
) -> bool {
    let all_fit = team.thread_units(choice.units) * team.block_threads() <= room(team);
    let has_bits = choice.units <= WARP * team.plan.words;
    has_bits
        && params.budget <= team.plan.room
        && (all_fit || 2 * (choice.draft + choice.target) <= room(team))
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
/// single positions, whose scores are items, and candidates [are worth it](are_worth_it). A thread has at most `K` units, or
/// `K` is [`MANY`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn gather<const CLUSTERED: bool, const K: usize>(
    team: &Team<CLUSTERED>,
    params: &Params,
    choice: &Choice,
) -> bool {
    let units = Units::<K>::of_thread(team, choice);
    let load = |map: u32| {
        if choice.count(map) == 0 {
            [0; K]
        } else {
            // SAFETY: the caller's promise; the map is there, as something is wanted of it.
            unsafe { units.keys(&Scores::of(params, choice, map), 0) }
        }
    };
    // Few fit twice into the registers: then all loads are in flight together.
    let both = if K <= FEW { [load(0), load(1)] } else { [[0; K]; 2] };

    // While the scores are on their way, what the block has zeroed is ordered, and the leader has long started.
    barrier::block_sync_aligned();
    team.wait();
    let block = team.block();
    let mut histogram = Histogram::cleared(&block);
    // One copy of the code serves both maps: a kernel this short waits for its instructions, too.
    for map in choice.maps() {
        let first = match map {
            _ if K > FEW => load(map),
            0 => both[0],
            _ => both[1],
        };
        // What the draft's map takes may be what is best by the target's.
        let wanted = if map == 0 { choice.draft } else { choice.draft + choice.target };
        let scores = Scores::of(params, choice, map);
        // SAFETY: the caller's promise.
        unsafe { hand_over(team, &mut histogram, map, &scores, &units, first, wanted) };
    }
    // SAFETY: all threads of the team take part, having met.
    unsafe { exchange_counts(team) };
    let mut all = true;
    for map in 0..2 {
        // SAFETY: the team has met behind; lanes beyond the blocks take the last one's.
        let count = unsafe { count(team, map, lane().min(team.blocks - 1)) };
        all &= vote::ballot(count > room(team)) == 0;
    }
    all
}

/// The units of the calling thread: every `step`th of the sequence's, in batches of `K`.
struct Units<'a, const K: usize> {
    choice: &'a Choice,
    first: u32,
    step: u32,
    /// As many for every thread of the team.
    batches: u32,
}

impl<'a, const K: usize> Units<'a, K> {
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn of_thread<const CLUSTERED: bool>(team: &Team<CLUSTERED>, choice: &'a Choice) -> Self {
        let batches = if K <= FEW { 1 } else { team.thread_units(choice.units).div_ceil(K as u32) };
        Self { choice, first: team.thread(), step: team.all_threads(), batches }
    }

    /// The first unit of a batch. Taken as unknown, so that the numbers of its units are not kept in registers.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn first_of(&self, batch: u32) -> u32 {
        thread::opaque(self.first + batch * self.step * K as u32)
    }

    /// The keys of a batch; unspecified for units that are not there.
    ///
    /// # Safety
    /// As [`Scores::items`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn keys(&self, scores: &Scores, batch: u32) -> [u32; K] {
        // SAFETY: the caller's promise.
        unsafe { scores.items::<K>(self.first_of(batch), self.step) }.map(key)
    }

    /// Which of a batch's units are there to be chosen, a bit each.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn free(&self, batch: u32) -> u32 {
        let first = self.first_of(batch);
        let mut free = 0;
        for i in 0..K {
            let unit = first + self.step * i as u32;
            free |= u32::from(unit < self.choice.units && !self.choice.forces(unit)) << i;
        }
        free
    }
}

/// Hands over those of the block's units that are free and may be among the `wanted` best of a map. `keys` are those of the
/// first batch.
///
/// # Safety
/// As [`gather`]; the block has met since it zeroed its histograms, and the leader has started. All threads of the block take
/// part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn hand_over<const CLUSTERED: bool, const K: usize>(
    team: &Team<CLUSTERED>,
    histogram: &mut Histogram<'_, false>,
    map: u32,
    scores: &Scores,
    units: &Units<'_, K>,
    mut keys: [u32; K],
    wanted: u32,
) {
    for batch in 0..units.batches {
        if batch > 0 {
            // SAFETY: the caller's promise.
            keys = unsafe { units.keys(scores, batch) };
        }
        // SAFETY: the caller's promise, or the last `find`.
        unsafe { count_groups(histogram, &keys, units.free(batch)) };
    }
    let bound = histogram.find(wanted).digit;
    for batch in 0..units.batches {
        if units.batches > 1 {
            // SAFETY: the caller's promise.
            keys = unsafe { units.keys(scores, batch) };
        }
        let mut taken = 0;
        for i in 0..K {
            taken |= u32::from(coarse(keys[i]) >= bound) << i;
        }
        // SAFETY: the caller's promise.
        unsafe { push(team, map, units, batch, &keys, taken & units.free(batch)) };
    }
}

/// Counts the greatest key of each group that has free units.
///
/// # Safety
/// As [`Histogram::count`].
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn count_groups<const K: usize>(histogram: &Histogram<'_, false>, keys: &[u32; K], free: u32) {
    for group in 0..K / GROUP {
        let mut best = 0;
        for i in GROUP * group..GROUP * (group + 1) {
            best = best.max(if free >> i & 1 != 0 { keys[i] } else { 0 });
        }
        if free >> (GROUP * group) & ((1 << GROUP) - 1) != 0 {
            // SAFETY: a digit is one of the bins; the caller's promise.
            unsafe { histogram.count(coarse(best)) };
        }
    }
}

/// Writes the ranks of those units of a batch that `taken` has a bit for to the leader's memory, as far as there is room, and
/// counts all.
///
/// # Safety
/// The leader has started, and the block has met since it zeroed its counts. All lanes of the warp take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn push<const CLUSTERED: bool, const K: usize>(
    team: &Team<CLUSTERED>,
    map: u32,
    units: &Units<'_, K>,
    batch: u32,
    keys: &[u32; K],
    taken: u32,
) {
    let count = redux::reduce_add(taken.count_ones());
    if count == 0 {
        return;
    }
    let mut place = 0;
    if lane() == 0 {
        let found = Shared::<u32>::at(team.plan.found_here);
        // SAFETY: the plan has an item for each map, accessed by atomics alone until the block meets.
        place = unsafe { atomic::shared_fetch_add(found, map, count) };
    }
    place = shuffle::shuffle_index(place, 0);
    let list = Candidates::found_by(team, map, team.rank);
    let first = units.first_of(batch);
    for i in 0..K {
        let mine = taken >> i & 1 != 0;
        let mask = vote::ballot(mine);
        let place_of_mine = place + (mask & ((1 << lane()) - 1)).count_ones();
        if mine && place_of_mine < list.room {
            let rank = u64::from(keys[i]) << 32 | u64::from(!(first + units.step * i as u32));
            // SAFETY: the place is this thread's, and there is room for it.
            unsafe {
                if CLUSTERED {
                    list.ranks.of_block(0).store(place_of_mine, rank);
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
