//! Candidates: the few units among which both maps' choices lie, found by each block for itself.
//!
//! Each block bounds its best units by its [strands](super::strands)' greatest scores. The few strands above a bound are looked
//! at again, evenly by all threads, and their units above it are handed to the team's leader, block 0, with their keys in both
//! maps.
//!
//! One block alone finds as many as are wanted of the sequence. Of several, among which the best of the sequence are dealt
//! evenly, each finds half as many again as its share, and the leader verifies that none has held back what is among the best.

use super::{
    rank::key,
    sequence::Choice,
    strands::{self, FOUND, LISTED, Strands, aim, below, least, reserve},
    team::Team,
    units::{GROUP, Groups},
};
use crate::simt::{
    Shared, WARP, barrier, redux,
    thread::{lane, thread_index, warp},
    vote,
};

/// The candidates that one block has found, in the leader's shared memory: `[room]` words of two keys, the unit and a mark.
#[derive(Clone, Copy)]
pub(super) struct Candidates {
    offset: u32,
    room: u32,
}

impl Candidates {
    /// Those of the team's block `block`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn found_by<const CLUSTERED: bool>(team: &Team<CLUSTERED>, block: u32) -> Self {
        let room = room(team);
        Self { offset: team.plan.candidates + 16 * block * room, room }
    }

    /// The address of candidate `index`, by which it may be marked.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn place(self, index: u32) -> u32 {
        self.offset + 16 * index
    }

    /// Candidate `index`: its keys in the draft's and in the target's map, its unit, and its mark, 0 at first. A key that is below
    /// its block's bound is 0.
    ///
    /// # Safety
    /// The calling block is the leader; the index is below the number of those that were [gathered](gather), and the team has
    /// met since.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn load(self, index: u32) -> [u32; 4] {
        // SAFETY: the caller's promise.
        unsafe { Shared::<[u32; 4]>::at(self.offset).load(index) }
    }
}

/// Sets the mark of the candidate at `place` to 1.
///
/// # Safety
/// It is a candidate's [place](Candidates::place) in the leader, and nobody else accesses the candidate.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn mark(place: u32) {
    // SAFETY: the caller's promise.
    unsafe { Shared::<u32>::at(place).store(3, 1) };
}

/// Candidates that each block has room for.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn room<const CLUSTERED: bool>(team: &Team<CLUSTERED>) -> u32 {
    // Clusters are of 1, 2, 4 or 8 blocks: a shift in place of a division.
    team.plan.room >> team.blocks.trailing_zeros()
}

/// Whether the choice's candidates are likely to find room: a bound leaves up to twice what is looked for of an importance map.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn are_worth_it<const CLUSTERED: bool>(
    team: &Team<CLUSTERED>,
    choice: &Choice,
    groups: &Groups,
) -> bool {
    let room = room(team);
    let all_fit = groups.of_each_thread(team) * team.block_threads() * GROUP + WARP <= room;
    let most_fit = 2 * (aim(team, choice, 0) + aim(team, choice, 1)) <= room;
    groups.count > 0 && choice.units <= WARP * team.plan.words && (all_fit || most_fit)
}

/// What the leader knows of the candidates.
pub(super) struct Gathered {
    /// For each map the least key of which no block has held back a unit.
    pub(super) bounds: [u32; 2],
    /// Whether the candidates found room.
    pub(super) fit: bool,
    /// How many the calling lane's block has found: lane 0's is the leader.
    pub(super) found: u32,
}

/// What the leader knows. All lanes of the warp take part.
///
/// # Safety
/// The calling block is the leader, and the team has met since candidates were [gathered](gather).
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn gathered<const CLUSTERED: bool>(team: &Team<CLUSTERED>) -> Gathered {
    let told = if CLUSTERED { team.plan.told } else { team.plan.state };
    // In place of blocks that are not there the last one is looked at.
    let block = lane().min(team.blocks - 1);
    // SAFETY: the plan has an item for each block; the caller's promise.
    let [found, draft, target, _] = unsafe { Shared::<[u32; 4]>::at(told).load(block) };
    let bounds = [redux::reduce_max(draft), redux::reduce_max(target)];
    Gathered { bounds, fit: redux::reduce_max(found) <= room(team), found }
}

/// Hands the leader the units that may be chosen. All threads of the team take part, and arrive at the end, but do not wait.
///
/// # Safety
/// As [`select`](super::kernel::select); the team's blocks have announced themselves and [cleared](super::smem::clear) what is
/// counted in. Candidates [are worth it](are_worth_it). A thread has at most `S` groups, or `S` is [`STRANDS`](strands::STRANDS).
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn gather<const CLUSTERED: bool, const S: usize>(
    team: &Team<CLUSTERED>,
    choice: &Choice,
    groups: &Groups,
) {
    let mine = Strands::<S>::of(team, groups);
    // SAFETY: the caller's promise; the block meets behind the first loads, and the leader has started then.
    unsafe {
        let best = mine.best(team, choice);
        let bounds = strands::bound(team, choice, &best);
        strands::list(team, &mine, &best, bounds);
        barrier::block_sync_aligned();
        hand_over(team, choice, &mine, bounds);
        tell(team);
    }
}

/// Hands over the units of the listed strands that reach a bound, and those on the sequence's edges.
///
/// # Safety
/// The block has met since strands were listed; the leader has started. All threads of the block take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn hand_over<const CLUSTERED: bool, const S: usize>(
    team: &Team<CLUSTERED>,
    choice: &Choice,
    strands: &Strands<'_, S>,
    bounds: [u32; 2],
) {
    let groups = strands.groups;
    // SAFETY: the barrier orders the additions before.
    let listed = unsafe { Shared::<u32>::at(team.plan.state).load(LISTED) };
    let mut base = WARP * warp();
    while base < listed {
        let index = base + lane();
        // SAFETY: so many are listed.
        let mut group = unsafe { Shared::<u32>::at(team.plan.strands).load(index.min(listed - 1)) };
        for _ in 0..strands.length {
            let is_there = index < listed && group < groups.count;
            let mut words = [[0; 4]; 2];
            for map in 0..2 {
                if choice.count(map) > 0 {
                    // SAFETY: the caller's promise; there is a group at least.
                    words[map as usize] = unsafe { groups.load(map, group.min(groups.count - 1)) };
                }
            }
            let keys = [keys(words[0], bounds[0]), keys(words[1], bounds[1])];
            let mut found = [([0; 2], 0, false); GROUP as usize];
            for i in 0..GROUP as usize {
                let keys = [keys[0][i], keys[1][i]];
                let reaches = keys[0] >= bounds[0] || keys[1] >= bounds[1];
                found[i] = (keys, groups.unit(group).wrapping_add(i as u32), is_there && reaches);
            }
            // SAFETY: the caller's promise.
            unsafe { push(team, &found) };
            group = group.wrapping_add(strands.step * S as u32);
        }
        base += team.block_threads();
    }
    // The last warp seldom has a strand.
    if team.rank == 0 && warp() + 1 == team.warps {
        let edge = groups.edge();
        let mut keys = [0; 2];
        for map in 0..2 {
            if let Some(unit) = edge
                && choice.count(map) > 0
            {
                // SAFETY: the map is there, and the unit is one of the sequence.
                keys[map as usize] = key(unsafe { groups.score(map, unit) });
            }
        }
        // SAFETY: the caller's promise.
        unsafe { push(team, &[(keys, edge.unwrap_or(0), edge.is_some())]) };
    }
}

/// The keys of a group's scores, as far as they reach the bound; 0 for others.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn keys(word: [u32; 4], bound: u32) -> [u32; 4] {
    let mut keys = [0; 4];
    if bound == 0 {
        for i in 0..4 {
            keys[i] = key(f32::from_bits(word[i]));
        }
    } else {
        // What reaches another bound is a positive number.
        for i in 0..4 {
            keys[i] = if f32::from_bits(word[i]) >= least(bound) { word[i] ^ 1 << 31 } else { 0 };
        }
    }
    keys
}

/// Writes those of the calling lane's units that are marked so to the leader's memory, as far as there is room, and counts
/// all. A unit comes with its keys.
///
/// # Safety
/// The leader has started, and the block has met since it zeroed its counts. All lanes of the warp take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn push<const CLUSTERED: bool, const N: usize>(
    team: &Team<CLUSTERED>,
    units: &[([u32; 2], u32, bool); N],
) {
    let mut hits = [0; N];
    let mut count = 0;
    for i in 0..N {
        hits[i] = vote::ballot(units[i].2);
        count += hits[i].count_ones();
    }
    // SAFETY: the caller's promise.
    let mut place = unsafe { reserve(team, FOUND, count) };
    let candidates = Candidates::found_by(team, team.rank);
    let words = Shared::<[u32; 4]>::at(candidates.offset);
    for i in 0..N {
        let (keys, unit, is_hit) = units[i];
        let own = place + below(hits[i]);
        if is_hit && own < candidates.room {
            let word = [keys[0], keys[1], unit, 0];
            // SAFETY: the place is this thread's, and there is room for it; the caller's promise.
            unsafe {
                if CLUSTERED {
                    words.of_block(0).store(own, word);
                } else {
                    words.store(own, word);
                }
            }
        }
        place += hits[i].count_ones();
    }
}

/// Tells the leader what the block has found, and arrives.
///
/// # Safety
/// The leader has started. All threads of the team take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn tell<const CLUSTERED: bool>(team: &Team<CLUSTERED>) {
    barrier::block_sync_aligned();
    if CLUSTERED && thread_index() == 0 {
        // SAFETY: the barrier orders the additions before; the plan has an item for each block, written by this thread alone;
        // the leader has started, and does not end before it has met the others.
        unsafe {
            let state = Shared::<[u32; 4]>::at(team.plan.state).load(0);
            Shared::<[u32; 4]>::at(team.plan.told).of_block(0).store(team.rank, state);
        }
    }
    team.arrive_met();
}
