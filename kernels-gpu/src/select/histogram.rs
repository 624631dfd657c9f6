//! Counting digits: how many units of a sequence have each, and which digit the last one wanted has.

use super::{scan, team::Team};
use crate::simt::{
    Shared, atomic, barrier,
    thread::{self, thread_index},
};

/// The most bits of a digit.
pub(super) const DIGIT: u32 = 11;

/// Bins of a histogram: one for each digit.
pub(super) const BINS: u32 = 1 << DIGIT;

/// The team's histogram of one digit at a time.
///
/// Every block counts its own units and adds its counts to a total in each block of the team, so that all go on from the
/// same. The totals of two passes lie apart: a pass zeroes its total as it reads it, and the one after next, for which
/// others wait at the barrier between, adds to it again.
pub(super) struct Histogram<'a, const CLUSTERED: bool> {
    team: &'a Team<CLUSTERED>,
    turn: u32,
}

/// The digit of the last unit wanted.
pub(super) struct Found {
    pub(super) digit: u32,
    /// How many units of that digit are wanted.
    pub(super) wanted: u32,
    /// How many there are.
    pub(super) there: u32,
}

impl<'a, const CLUSTERED: bool> Histogram<'a, CLUSTERED> {
    /// Zeroes the calling block's histograms, which may be used behind the team's next barrier.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn new(team: &'a Team<CLUSTERED>) -> Self {
        team.plan.clear_digits(team.block_threads());
        Self { team, turn: 0 }
    }

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn total(&self) -> u32 {
        self.team.plan.totals + self.turn * BINS * 4
    }

    /// Counts one unit.
    ///
    /// # Safety
    /// The digit is below [`BINS`], and the team has met behind [`Histogram::new`] and the last [`Histogram::find`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn count(&self, digit: u32) {
        let counts = Shared::at(if CLUSTERED { self.team.plan.own } else { self.total() });
        // Additions of the constant 1 are merged where lanes of a warp have the same digit (`ATOMS.POPC.INC`), so that maps
        // whose scores crowd cost no more than others.
        // SAFETY: the caller's promise; between barriers the counts are accessed by atomics alone.
        unsafe { atomic::shared_add(counts, digit, 1) };
    }

    /// Adds the block's counts to the total in each block of the team, and zeroes them.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn add_to_team(&self) {
        barrier::block_sync_aligned();
        let own = Shared::<u32>::at(self.team.plan.own);
        let total = Shared::<u32>::at(self.total());
        let mut bin = thread::opaque(thread_index());
        while bin < BINS {
            // SAFETY: the barrier orders the counts before; each bin is one thread's until the next barrier.
            let count = unsafe { own.load(bin) };
            if count != 0 {
                // SAFETY: as the load.
                unsafe { own.store(bin, 0) };
                for step in 0..self.team.blocks {
                    // Not all begin with the same block.
                    let next = self.team.rank + step;
                    let block = if next < self.team.blocks { next } else { next - self.team.blocks };
                    // SAFETY: the team has met, so that each block has started and its total is zeroed, and meets
                    // again before any block ends; until then the total is accessed by these additions alone.
                    unsafe { atomic::cluster_add(total.of_block(block), bin, count) };
                }
            }
            bin += self.team.block_threads();
        }
    }

    /// Where the unit lies that is number `wanted` from the top digit downwards, of those that the team has counted; where
    /// those are fewer, digit 0, of which none is wanted. All threads of the team take part; then the next digits may be counted.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn find(&mut self, wanted: u32) -> Found {
        if CLUSTERED {
            self.add_to_team();
        }
        self.team.sync();
        let total = Shared::<u64>::at(self.total());
        self.turn ^= 1;

        // Threads take the bins from the top, an even number each. Which ones is computed anew in each pass (the thread being
        // taken as unknown): registers for it are what a pass over the scores lacks.
        let thread = thread::opaque(thread_index());
        let bins = BINS / self.team.block_threads();
        let mut counts = [0; 8];
        let mut sum = 0;
        for i in 0..bins / 2 {
            let pair = (BINS - bins * (thread + 1)) / 2 + i;
            // SAFETY: the barrier orders the additions before; each bin is one thread's until the next barrier.
            let both = unsafe { total.load(pair) };
            // SAFETY: as the load.
            unsafe { total.store(pair, 0) };
            counts[2 * i as usize] = both as u32;
            counts[2 * i as usize + 1] = (both >> 32) as u32;
            sum += both as u32 + (both >> 32) as u32;
        }

        let found = Shared::<[u32; 4]>::at(self.team.plan.found);
        if thread == 0 {
            // Where fewer have been counted than are wanted, it is the lowest digit.
            // SAFETY: the plan has the word; who finds the unit stores it behind the barrier of the sums.
            unsafe { found.store(0, [0; 4]) };
        }
        let mut above = scan::sum_of_threads_below(self.team, sum);
        for i in 0..bins {
            let down = (bins - 1 - i) as usize;
            if above < wanted && wanted <= above + counts[down] {
                let digit = BINS - 1 - bins * thread - i;
                // SAFETY: the plan has the word; one thread finds the unit, and others read behind the barrier.
                unsafe { found.store(0, [digit, wanted - above, counts[down], 0]) };
            }
            above += counts[down];
        }
        barrier::block_sync_aligned();
        // SAFETY: the barrier orders the store before.
        let [digit, wanted, there, _] = unsafe { found.load(0) };
        Found { digit, wanted, there }
    }
}
