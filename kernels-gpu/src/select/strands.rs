//! Strands: the units of a thread, of which it keeps the greatest score alone.
//!
//! That costs an instruction for each unit. The greatest scores are counted in [bins](super::bound), and the bin above which as
//! many strands lie as units are looked for bounds the block's best units from below. Only the strands above it are listed, to
//! be looked at again.

use super::{
    bound::{Bins, Scale},
    rank::key,
    sequence::Choice,
    team::Team,
    units::Groups,
};
use crate::simt::{
    Shared, atomic, barrier, math, shuffle,
    thread::{self, lane, thread_index, warp},
    vote,
};

/// The most strands of a thread.
pub(super) const STRANDS: usize = 8;

/// Groups of one map that a thread loads at once.
const AT_ONCE: usize = 4;

/// What chance may deal a block beyond half as many again as its share.
const SPARE: u32 = 24;

/// Above every key: the bound of a map of which nothing is wanted.
const NONE: u32 = u32::MAX;

/// What a block tells the leader: `[u32; 4]`, of which these are the items. Behind them is how many strands it looks at again.
pub(super) const FOUND: u32 = 0;
const BOUNDS: u32 = 1;
pub(super) const LISTED: u32 = 3;

/// How many of a map's best units each block looks for.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn aim<const CLUSTERED: bool>(team: &Team<CLUSTERED>, choice: &Choice, map: u32) -> u32 {
    // What the draft's map takes may be what is best by the target's.
    let wanted = if map == 0 { choice.draft } else { choice.draft + choice.target };
    wanted.min(((wanted + wanted / 2) >> team.blocks.trailing_zeros()) + SPARE)
}

/// The groups of each thread, in `S` strands: every `S`th of a thread is of the same one.
pub(super) struct Strands<'a, const S: usize> {
    pub(super) groups: &'a Groups,
    /// The first group of the calling thread.
    first: u32,
    /// From one group of a thread to the next.
    pub(super) step: u32,
    /// Groups of a strand, at most.
    pub(super) length: u32,
}

impl<'a, const S: usize> Strands<'a, S> {
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of<const CLUSTERED: bool>(team: &Team<CLUSTERED>, groups: &'a Groups) -> Self {
        let length = if S < STRANDS { 1 } else { groups.of_each_thread(team).div_ceil(S as u32) };
        Self { groups, first: groups.first_of(team, thread_index()), step: team.all_threads(), length }
    }

    /// The greatest number of each strand of the calling thread, of each map that is wanted; negative infinity where there is
    /// none.
    ///
    /// # Safety
    /// As [`gather`](super::candidates::gather). All threads of the team take part: the blocks meet, each by itself, and the
    /// team has started then.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn best<const CLUSTERED: bool>(
        &self,
        team: &Team<CLUSTERED>,
        choice: &Choice,
    ) -> [[f32; S]; 2] {
        let mut best = [[f32::NEG_INFINITY; S]; 2];
        let first = self.first;
        if S <= AT_ONCE {
            let mut words = [[[0; 4]; S]; 2];
            for map in 0..2 {
                if choice.count(map) > 0 {
                    // SAFETY: the caller's promise; the map is there, as something is wanted of it.
                    words[map as usize] = unsafe { self.load(map, first) };
                }
            }
            // While the scores are on their way, what the block has cleared is ordered, and the leader has long started.
            barrier::block_sync_aligned();
            team.wait();
            for map in 0..2 {
                if choice.count(map) > 0 {
                    self.keep_best(&mut best[map as usize], 0, &words[map as usize], first);
                }
            }
            return best;
        }
        barrier::block_sync_aligned();
        team.wait();
        for batch in 0..self.length {
            let first = thread::opaque(first.wrapping_add(batch * self.step * S as u32));
            for map in 0..2 {
                if choice.count(map) > 0 {
                    for part in 0..S / AT_ONCE {
                        let from = part * AT_ONCE;
                        let first = first.wrapping_add(self.step * from as u32);
                        // SAFETY: as above.
                        let words: [_; AT_ONCE] = unsafe { self.load(map, first) };
                        self.keep_best(&mut best[map as usize], from, &words, first);
                    }
                }
            }
        }
        best
    }

    /// The scores of `N` groups of the calling thread, unspecified for those that are not there.
    ///
    /// # Safety
    /// As [`Groups::load`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn load<const N: usize>(&self, map: u32, first: u32) -> [[u32; 4]; N] {
        let mut words = [[0; 4]; N];
        for i in 0..N {
            // In place of a group that is not there the last one is read, so that no branch parts the loads.
            let group = first.wrapping_add(self.step * i as u32).min(self.groups.count - 1);
            // SAFETY: the caller's promise; there is a group at least.
            words[i] = unsafe { self.groups.load(map, group) };
        }
        words
    }

    /// Raises what is best of `N` strands to the greatest of their groups, if those are there.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn keep_best<const N: usize>(&self, best: &mut [f32; S], from: usize, words: &[[u32; 4]; N], first: u32) {
        for i in 0..N {
            let [a, b, c, d] = words[i].map(f32::from_bits);
            let greatest = math::max(math::max(a, b), math::max(c, d));
            if first.wrapping_add(self.step * i as u32) < self.groups.count {
                best[from + i] = math::max(best[from + i], greatest);
            }
        }
    }
}

/// For each map a key above which as many of the block's units lie as are looked for, and which it hands over all units from:
/// 0 where there are not so many.
///
/// # Safety
/// As [`gather`](super::candidates::gather), behind the block's first barrier. All threads of the block take part, which meets.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn bound<const CLUSTERED: bool, const S: usize>(
    team: &Team<CLUSTERED>,
    choice: &Choice,
    best: &[[f32; S]; 2],
) -> [u32; 2] {
    let bins = |map: u32| Bins::at(team.plan.bins + Bins::BYTES * map);
    for map in 0..2 {
        if choice.count(map) > 0 {
            // Three times as many counts as are looked for bound well; more of them cost more.
            let counts = (3 * aim(team, choice, map)).div_ceil(team.block_threads()).next_power_of_two();
            let last = (S as u32 >> counts.trailing_zeros()).max(1) - 1;
            let mut greatest = f32::NEG_INFINITY;
            for s in 0..S {
                greatest = math::max(greatest, best[map as usize][s]);
                if s as u32 & last == last {
                    // SAFETY: the bins are the map's, zeroed before the block's first barrier.
                    unsafe { bins(map).count(Scale::ALL.bin(key(greatest))) };
                    greatest = f32::NEG_INFINITY;
                }
            }
        }
    }
    barrier::block_sync_aligned();
    let state = Shared::<u32>::at(team.plan.state);
    if warp() < 2 {
        let map = warp();
        let mut bound = NONE;
        if choice.count(map) > 0 {
            // SAFETY: the barrier orders the counts before.
            let bin = unsafe { bins(map).find(aim(team, choice, map)).bin };
            bound = if bin == 0 { 0 } else { Scale::least_of_all(bin) };
        }
        if lane() == 0 {
            // SAFETY: the plan has an item for each map, which others read behind the barrier.
            unsafe { state.store(BOUNDS + map, bound) };
        }
    }
    barrier::block_sync_aligned();
    // SAFETY: the barrier orders the stores before.
    unsafe { [state.load(BOUNDS), state.load(BOUNDS + 1)] }
}

/// The least number of a map that may be a candidate's, of the key that [`bound`] gives: NaN, which nothing is greater than or
/// equal to, where nothing is wanted.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn least(bound: u32) -> f32 {
    // Another bound than 0 is a positive number's key, or NONE.
    if bound == 0 { f32::NEG_INFINITY } else { f32::from_bits(bound ^ 1 << 31) }
}

/// Lists the strands whose best reaches a bound, by their first groups.
///
/// # Safety
/// The block has met since it zeroed the number of them. All threads of the block take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn list<const CLUSTERED: bool, const S: usize>(
    team: &Team<CLUSTERED>,
    strands: &Strands<'_, S>,
    best: &[[f32; S]; 2],
    bounds: [u32; 2],
) {
    let least = bounds.map(least);
    let mut hits = [0; S];
    let mut count = 0;
    for s in 0..S {
        hits[s] = vote::ballot(best[0][s] >= least[0] || best[1][s] >= least[1]);
        count += hits[s].count_ones();
    }
    if count == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    let mut place = unsafe { reserve(team, LISTED, count) };
    let list = Shared::<u32>::at(team.plan.strands);
    for s in 0..S {
        if hits[s] >> lane() & 1 != 0 {
            let group = strands.first.wrapping_add(strands.step * s as u32);
            // SAFETY: the plan has room for all strands of the block, and the place is this thread's.
            unsafe { list.store(place + below(hits[s]), group) };
        }
        place += hits[s].count_ones();
    }
}

/// Adds the warp's `count` to an item of the block's state, and returns what stood there before.
///
/// # Safety
/// The block has met since it zeroed its state. All lanes of the warp take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn reserve<const CLUSTERED: bool>(team: &Team<CLUSTERED>, item: u32, count: u32) -> u32 {
    let mut before = 0;
    if lane() == 0 {
        // SAFETY: the plan has the item, which is accessed by atomics alone until the block meets.
        before = unsafe { atomic::shared_fetch_add(Shared::at(team.plan.state), item, count) };
    }
    shuffle::shuffle_index(before, 0)
}

/// How many lanes below the calling one are hit.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn below(hits: u32) -> u32 {
    (hits & ((1 << lane()) - 1)).count_ones()
}
