//! The leader's part: the choice among the candidates of all blocks, and the set.

use super::{
    bound::{Bins, Found, Scale},
    candidates::{self, Candidates, Gathered},
    output::Output,
    rank::of_key,
    scan,
    sequence::Choice,
    smem,
    team::Team,
};
use crate::simt::{
    Shared, WARP, atomic, barrier, shuffle,
    thread::{self, lane, thread_index, warp},
};

/// Candidates of one bin that are compared with each other.
pub(super) const TIES: u32 = 128;

/// Candidates that a thread looks at together.
const AT_ONCE: usize = 4;

/// The candidates that are the calling thread's. All threads of the leader together have all of them.
struct Mine {
    candidates: Candidates,
    first: u32,
    step: u32,
    count: u32,
}

impl Mine {
    /// # Safety
    /// The candidates were [gathered](candidates::gather), and found room. All lanes of the warp take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn of_thread<const CLUSTERED: bool>(team: &Team<CLUSTERED>, gathered: &Gathered) -> Self {
        // As many warps serve each block.
        let (log, block) = (team.blocks.trailing_zeros(), warp() & (team.blocks - 1));
        Self {
            candidates: Candidates::found_by(team, block),
            first: WARP * (warp() >> log) + lane(),
            step: WARP * (team.warps >> log),
            count: shuffle::shuffle_index(gathered.found, block),
        }
    }

    /// Hands over each of them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn each(&self, visit: impl Fn(Seen)) {
        let mut first = self.first;
        while first < self.count {
            let has = |i: usize| first + self.step * (i as u32) < self.count;
            let mut words = [[0; 4]; AT_ONCE];
            for i in 0..AT_ONCE {
                // In place of one that is not there the first one is read, so that no branch parts the loads.
                let index = if has(i) { first + self.step * i as u32 } else { first };
                // SAFETY: the index is below the count; the candidates were gathered, the team has met since, and the block
                // meets between marks and visits of others.
                words[i] = unsafe { self.candidates.load(index) };
            }
            for i in 0..AT_ONCE {
                if has(i) {
                    let [draft, target, unit, mark] = words[i];
                    let place = self.candidates.place(first + self.step * i as u32);
                    visit(Seen { place, keys: [draft, target], unit, is_marked: mark != 0 });
                }
            }
            // Taken as unknown, so that the loop is not unrolled: few threads have more.
            first = thread::opaque(first + self.step * AT_ONCE as u32);
        }
    }
}

/// A candidate.
#[derive(Clone, Copy)]
struct Seen {
    /// Where it is marked.
    place: u32,
    /// Its keys in the draft's and in the target's map.
    keys: [u32; 2],
    unit: u32,
    is_marked: bool,
}

/// Bins of both maps' candidates.
struct Counts {
    bins: [Bins; 2],
    scales: [Scale; 2],
}

/// Chooses among the candidates and writes the set. Or tells the team that the choice is not among them, or cannot be found
/// so, and meets it. Returns whether it has chosen. All threads of the leader take part.
///
/// # Safety
/// As [`select`](super::kernel::select); the candidates were [gathered](candidates::gather).
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn choose<const CLUSTERED: bool>(
    team: &Team<CLUSTERED>,
    output: &Output<'_>,
    choice: &Choice,
) -> bool {
    // While the others arrive.
    smem::zero(team.plan.bits, 4 * (team.block_threads() << words_log(team, choice)), team.block_threads());
    team.wait();
    // SAFETY: the caller's promise; the team has met.
    let gathered = unsafe { candidates::gathered(team) };
    if gathered.fit {
        // SAFETY: the candidates found room, and the bits are zeroed before the block meets.
        unsafe {
            let mine = Mine::of_thread(team, &gathered);
            if mark_best(team, choice, &mine, gathered.bounds) {
                // The others have not been refused: that needs no release, which takes as long as a pass.
                team.announce();
                write(team, output, choice, &mine);
                return true;
            }
        }
    }
    if CLUSTERED && warp() == 0 && lane() < team.blocks {
        // SAFETY: the blocks wait, and the plan has the item, which this thread alone writes.
        unsafe { Shared::<u32>::at(team.plan.refused).of_block(lane()).store(0, 1) };
    }
    team.arrive_met();
    team.wait();
    false
}

/// Waits until the leader has [chosen](choose), or refuses to. Returns whether it has chosen.
///
/// # Safety
/// The calling block is another than the leader, whose candidates were [gathered](candidates::gather).
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn has_chosen<const CLUSTERED: bool>(team: &Team<CLUSTERED>) -> bool {
    team.wait();
    team.announce();
    team.wait();
    // SAFETY: zeroed at first; the leader has stored it before it arrived, if it has.
    unsafe { Shared::<u32>::at(team.plan.refused).load(0) == 0 }
}

/// Marks the best of the candidates: as many as each map gives, the target's among what the draft's has left. Sets their
/// units' bits. Returns whether it could: whether so many reach the bound, above which no unit has been held back, and few are
/// as good as the last one.
///
/// # Safety
/// As [`choose`]; bits and bins were zeroed. All threads of the leader take part, which meets behind the last mark.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn mark_best<const CLUSTERED: bool>(
    team: &Team<CLUSTERED>,
    choice: &Choice,
    mine: &Mine,
    bounds: [u32; 2],
) -> bool {
    let counts = Counts {
        bins: [Bins::at(team.plan.leader_bins), Bins::at(team.plan.leader_bins + Bins::BYTES)],
        scales: [Scale::fine_from(bounds[0]), Scale::fine_from(bounds[1])],
    };
    mine.each(|seen| {
        for map in 0..2 {
            if seen.keys[map] >= bounds[map] {
                // SAFETY: the bins are the map's.
                unsafe { counts.bins[map].count(counts.scales[map].bin(seen.keys[map])) };
            }
        }
    });
    // What the draft's map gives the target's does not.
    let take = |map: u32, place: u32, unit: u32, target: u32| {
        // SAFETY: a candidate is taken by one thread; a unit has a bit, which is set once: then the sum is the union. What is
        // taken back was counted.
        unsafe {
            candidates::mark(place);
            atomic::shared_add(Shared::at(team.plan.bits), unit / WARP, 1 << (unit % WARP));
            if map == 0 && target >= bounds[1] {
                counts.bins[1].take_back(counts.scales[1].bin(target));
            }
        }
    };
    barrier::block_sync_aligned();
    // One copy of the code serves both maps: a kernel this short waits for its instructions, too.
    for map in choice.maps() {
        let last = Shared::<[u32; 4]>::at(team.plan.last + 16 * map);
        if warp() == 0 {
            let bins = if map == 0 { counts.bins[0] } else { counts.bins[1] };
            // SAFETY: the barrier orders the counts before.
            let Found { bin, wanted, there } = unsafe { bins.find(choice.count(map)) };
            if lane() == 0 {
                // SAFETY: the plan has a word for each map, which others read behind the barrier.
                unsafe { last.store(0, [bin, wanted, there, 0]) };
            }
        }
        barrier::block_sync_aligned();
        // SAFETY: the barrier orders the store before.
        let [last, wanted, there, _] = unsafe { last.load(0) };
        let all = there == wanted;
        if wanted > there || !all && there > TIES {
            return false;
        }
        let ties = Shared::<[u32; 4]>::at(team.plan.ties + 16 * TIES * map);
        let (scale, bound) =
            if map == 0 { (counts.scales[0], bounds[0]) } else { (counts.scales[1], bounds[1]) };
        mine.each(|Seen { place, keys, unit, is_marked }| {
            let key = if map == 0 { keys[0] } else { keys[1] };
            let bin = scale.bin(key);
            if is_marked || key < bound || bin < last {
                return;
            }
            if bin > last || all {
                take(map, place, unit, keys[1]);
                return;
            }
            // SAFETY: the plan has an item for each map, zeroed before the team met, and room for so many ties.
            unsafe {
                let tie = atomic::shared_fetch_add(Shared::at(team.plan.tied), map, 1);
                ties.store(tie, [key, !unit, place, keys[1]]);
            }
        });
        barrier::block_sync_aligned();
        if !all {
            if thread_index() < there {
                // SAFETY: there are so many, and the barrier orders the stores before.
                unsafe {
                    let [key, unit, place, target] = ties.load(thread_index());
                    if greater(ties, there, of_key(key, !unit)) < wanted {
                        take(map, place, !unit, target);
                    }
                }
            }
            barrier::block_sync_aligned();
        }
    }
    true
}

/// How many of the first `count` ties, at least one, are of a greater rank than `rank`.
///
/// # Safety
/// So many are there, and the block has met since they were written.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn greater(ties: Shared<[u32; 4]>, count: u32, rank: u64) -> u32 {
    let mut greater = 0;
    let mut first = 0;
    while first < count {
        for i in first..first + AT_ONCE as u32 {
            // In place of one that is not there the last one is read, so that no branch parts the loads.
            // SAFETY: the caller's promise.
            let [key, unit, ..] = unsafe { ties.load(i.min(count - 1)) };
            greater += u32::from(i < count && of_key(key, !unit) > rank);
        }
        first = thread::opaque(first + AT_ONCE as u32);
    }
    greater
}

/// How many words of bits each thread serves so that all units have one: 2 to the power of that.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn words_log<const CLUSTERED: bool>(team: &Team<CLUSTERED>, choice: &Choice) -> u32 {
    let words = choice.units.div_ceil(WARP);
    let each = (words + team.block_threads() - 1) >> team.block_threads().trailing_zeros();
    each.next_power_of_two().trailing_zeros()
}

/// Writes the set: the forced units, and those that are marked.
///
/// # Safety
/// As [`choose`]; as many as are wanted are marked, and their bits are set, and the block has met since. All threads of the
/// leader take part.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn write<const CLUSTERED: bool>(
    team: &Team<CLUSTERED>,
    output: &Output<'_>,
    choice: &Choice,
    mine: &Mine,
) {
    let thread = thread_index();
    let (begin, end) = (thread << words_log(team, choice), (thread + 1) << words_log(team, choice));
    let bits = Shared::<u32>::at(team.plan.bits);
    let (mut count, mut word) = (0, begin);
    while word < end {
        // SAFETY: the plan has as many words for each thread; the block has met since bits were set.
        count += unsafe { bits.load(word) }.count_ones();
        word = thread::opaque(word + 1);
    }
    let places = Shared::<u16>::at(team.plan.places);
    let (mut place, mut word) = (scan::sum_of_threads_below(team, count), begin);
    while word < end {
        // SAFETY: as above. What lay in their place was read before the block met, and fewer units are chosen than 16 bits hold.
        unsafe {
            places.store(word, place as u16);
            place += bits.load(word).count_ones();
        }
        word = thread::opaque(word + 1);
    }
    barrier::block_sync_aligned();
    let units = Shared::<u32>::at(team.plan.strands);
    mine.each(|Seen { unit, is_marked, .. }| {
        // SAFETY: the barrier orders the stores before, and a unit has a bit.
        let (first, word) = unsafe { (places.load(unit / WARP), bits.load(unit / WARP)) };
        if is_marked {
            let below = word & ((1 << (unit % WARP)) - 1);
            // SAFETY: the plan has room for all marked units in place of the strands, which were read before the team met.
            unsafe { units.store(u32::from(first) + below.count_ones(), unit) };
        }
    });
    barrier::block_sync_aligned();

    // Sinks are the first of the set, and recent positions the last.
    let (begin, end) = (choice.free_begin, choice.free_begin + choice.draft + choice.target);
    let size = end + choice.units - choice.free_end;
    let mut place = thread;
    while place < size {
        let unit = if place < begin {
            place
        } else if place >= end {
            place - end + choice.free_end
        } else {
            // SAFETY: as many are marked; the barrier orders the stores before.
            unsafe { units.load(place - begin) }
        };
        // SAFETY: the caller's promise: the set has room, and each place is one thread's.
        unsafe { output.position(place, unit) };
        place = thread::opaque(place + team.block_threads());
    }
    if thread == 0 {
        // SAFETY: the caller's promise.
        unsafe { output.size(size.cast_signed()) };
    }
}
