//! The leader's part: the choice among the candidates of all blocks, and the set.

use super::{
    candidates::{self, Candidates},
    histogram::Histogram,
    output::Output,
    radix::{self, Ranks},
    rank, scan,
    sequence::Choice,
    team::Team,
};
use crate::simt::{
    Shared, WARP, atomic, barrier,
    thread::{lane, thread_index, warp},
};

/// One bit for each unit that a map has given.
#[derive(Clone, Copy)]
struct Bits {
    words: Shared<u32>,
}

impl Bits {
    /// Those of `map`, all zero at first.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn of_map<const CLUSTERED: bool>(team: &Team<CLUSTERED>, map: u32) -> Self {
        Self { words: Shared::at(team.plan.bits + 4 * team.plan.words * map) }
    }

    /// Sets the bit of `unit`, once.
    ///
    /// # Safety
    /// There is a bit for the unit; until the block meets, bits are set alone.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn set(self, unit: u32) {
        // SAFETY: the caller's promise. Of a bit that is set once, the sum is the union.
        unsafe { atomic::shared_add(self.words, unit / WARP, 1 << (unit % WARP)) };
    }

    /// The bits of the units from `32 · word`.
    ///
    /// # Safety
    /// There is such a word, and the block has met since bits were set.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn word(self, word: u32) -> u32 {
        // SAFETY: the caller's promise.
        unsafe { self.words.load(word) }
    }
}

/// A map's candidates, from one block and for the lanes of one warp.
struct Listed {
    candidates: Candidates,
    first: u32,
    step: u32,
    count: u32,
    /// What the other map has given: nothing yet, where this one is the first.
    taken: Bits,
}

impl Listed {
    /// That of the calling warp. All warps of the block together have all candidates of `map`.
    ///
    /// # Safety
    /// The candidates were [gathered](candidates::gather), and found room.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn of_warp<const CLUSTERED: bool>(team: &Team<CLUSTERED>, map: u32) -> Self {
        // As many warps serve each block.
        let (log, block) = (team.blocks.trailing_zeros(), warp() & (team.blocks - 1));
        // SAFETY: the caller's promise.
        let count = unsafe { candidates::count(team, map, block) };
        Self {
            candidates: Candidates::found_by(team, map, block),
            first: WARP * (warp() >> log) + lane(),
            step: WARP * (team.warps >> log),
            count,
            taken: Bits::of_map(team, 1 - map),
        }
    }
}

impl Ranks for Listed {
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn each(&self, visit: impl Fn(u64)) {
        let mut index = self.first;
        while index < self.count {
            // SAFETY: the index is below the count; a candidate's unit has a bit, and the block has met since bits of
            // the other map were set.
            unsafe {
                let rank = self.candidates.rank(index);
                let unit = rank::unit(rank);
                if self.taken.word(unit / WARP) >> (unit % WARP) & 1 == 0 {
                    visit(rank);
                }
            }
            index += self.step;
        }
    }
}

/// Chooses among the candidates, and writes the set. All threads of the leader take part.
///
/// # Safety
/// As [`select`](super::kernel::select); the candidates were [gathered](candidates::gather), and found room.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn choose<const CLUSTERED: bool>(
    team: &Team<CLUSTERED>,
    output: &Output<'_>,
    choice: &Choice,
) {
    let block = team.block();
    let mut histogram = Histogram::cleared(&block);
    for map in choice.maps() {
        let chosen = Bits::of_map(team, map);
        // SAFETY: the caller's promise; of as many candidates as are wanted of the map there are at least so many that no
        // other has taken. Each candidate is one thread's.
        unsafe {
            let listed = Listed::of_warp(team, map);
            let least = radix::threshold(&mut histogram, &listed, choice.units, choice.count(map));
            listed.each(|rank| {
                if rank >= least {
                    chosen.set(rank::unit(rank));
                }
            });
        }
        barrier::block_sync_aligned();
    }
    // SAFETY: the caller's promise; the barrier orders the bits before.
    unsafe { write(&block, output, choice) };
}

/// Writes the set: the forced units, and those whose bits are set.
///
/// # Safety
/// As [`choose`]; the block has met since bits were set.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
unsafe fn write(block: &Team<false>, output: &Output<'_>, choice: &Choice) {
    let each =
        (choice.units.div_ceil(WARP) + block.block_threads() - 1) >> block.block_threads().trailing_zeros();
    let (begin, end) = (thread_index() * each, (thread_index() + 1) * each);
    let word = |index: u32| {
        let base = index * WARP;
        let forced = units_below(choice.free_begin, base)
            | units_below(choice.units, base) & !units_below(choice.free_end, base);
        if base >= choice.units {
            return 0;
        }
        // SAFETY: the caller's promise; the plan has bits for all units.
        unsafe { Bits::of_map(block, 0).word(index) | Bits::of_map(block, 1).word(index) | forced }
    };
    let mut count = 0;
    for index in begin..end {
        count += word(index).count_ones();
    }
    let mut place = scan::sum_of_threads_below(block, count);
    if thread_index() + 1 == block.block_threads() {
        // SAFETY: the plan has the word, which nobody reads before the barrier.
        unsafe { Shared::<u32>::at(block.plan.found).store(0, place + count) };
    }
    let positions = Shared::<u32>::at(block.plan.candidates);
    for index in begin..end {
        let mut word = word(index);
        while word != 0 {
            // SAFETY: the candidates have been read, and there is more room for them than a set has positions.
            unsafe { positions.store(place, index * WARP + word.trailing_zeros()) };
            place += 1;
            word &= word - 1;
        }
    }
    barrier::block_sync_aligned();
    // SAFETY: the barrier orders the store before.
    let size = unsafe { Shared::<u32>::at(block.plan.found).load(0) };
    let mut place = thread_index();
    while place < size {
        // SAFETY: the barrier orders the stores before; the set has room, and each place is one thread's.
        unsafe { output.position(place, positions.load(place)) };
        place += block.block_threads();
    }
    if thread_index() == 0 {
        // SAFETY: the caller's promise.
        unsafe { output.size(size.cast_signed()) };
    }
}

/// Which of the 32 units from `base` on lie below `end`.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
fn units_below(end: u32, base: u32) -> u32 {
    let below = end.saturating_sub(base).min(WARP);
    if below == 0 { 0 } else { u32::MAX >> (WARP - below) }
}
