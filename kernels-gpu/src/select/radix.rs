//! Radix selection of the best units of a map.
//!
//! The first digit is [coarse](super::rank::coarse): it leaves so few of an importance map's units that the second nearly
//! always ends the search. Any other map takes as many more as it needs.

use super::{
    histogram::{DIGIT, Histogram},
    rank::{ABOVE_ALL, coarse, of_coarse, rank},
    scores::Scores,
    sequence::Choice,
    team::Team,
};
use crate::simt::{WARP, thread::lane};

/// The units that a map gives: those whose rank is at least a threshold.
#[derive(Clone, Copy)]
pub(super) struct Chosen {
    scores: Scores,
    threshold: u64,
}

impl Chosen {
    /// Those whose rank is at least `threshold`.
    pub(super) fn from(scores: Scores, threshold: u64) -> Self {
        Self { scores, threshold }
    }

    /// None of a map's units.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn none(scores: Scores) -> Self {
        Self { scores, threshold: ABOVE_ALL }
    }

    /// Which of `first` and every 32nd unit behind, `N` in all, are among them; unspecified for units behind the sequence's.
    ///
    /// # Safety
    /// As [`Scores::load`], unless there are none.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn hold<const N: usize>(&self, first: u32) -> [bool; N] {
        let mut hold = [false; N];
        if self.threshold != ABOVE_ALL {
            // SAFETY: the caller's promise.
            let scores = unsafe { self.scores.load::<N>(first) };
            for i in 0..N {
                hold[i] = rank(scores[i], first + WARP * i as u32) >= self.threshold;
            }
        }
        hold
    }
}

/// Free units of a map that another's choice has left.
pub(super) struct Left<'a, const N: usize> {
    scores: Scores,
    taken: &'a Chosen,
    begin: u32,
    end: u32,
}

impl<'a, const N: usize> Left<'a, N> {
    /// Those of the calling warp.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_warp<const CLUSTERED: bool>(
        team: &Team<CLUSTERED>,
        choice: &Choice,
        scores: Scores,
        taken: &'a Chosen,
    ) -> Self {
        let [begin, end] = team.share(choice.units);
        Self { scores, taken, begin: begin.max(choice.free_begin), end: end.min(choice.free_end) }
    }
}

impl<const N: usize> Left<'_, N> {
    /// Hands over the rank of each unit that the calling thread looks at.
    ///
    /// # Safety
    /// As [`Scores::load`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn each(&self, visit: impl Fn(u64)) {
        let mut base = self.begin;
        while base < self.end {
            let first = base + lane();
            // SAFETY: the caller's promise.
            let (scores, taken) = unsafe { (self.scores.load::<N>(first), self.taken.hold::<N>(first)) };
            for i in 0..N {
                let unit = first + WARP * i as u32;
                if unit < self.end && !taken[i] {
                    visit(rank(scores[i], unit));
                }
            }
            base += WARP * N as u32;
        }
    }
}

/// The rank of the `count`-th best of the units that the team's threads look at: at least one, and no more than there are. Or
/// a lower one, that no further unit reaches. `units` is how many the sequence has.
///
/// # Safety
/// As [`Scores::load`]. All threads of the team take part; its histograms are zeroed.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) unsafe fn threshold<const CLUSTERED: bool, const N: usize>(
    histogram: &mut Histogram<'_, CLUSTERED>,
    left: &Left<'_, N>,
    units: u32,
    count: u32,
) -> u64 {
    let mut prefix = Prefix::EMPTY;
    let mut digit = Digit::COARSE;
    let mut wanted = count;
    loop {
        // SAFETY: the caller's promise; a digit is one of the bins.
        unsafe {
            left.each(|rank| {
                if prefix.begins(rank) {
                    histogram.count(digit.of(rank));
                }
            });
        }
        let found = histogram.find(wanted);
        let all_are_wanted = found.there == found.wanted;
        if digit.coarse {
            let (least, open) = of_coarse(found.digit);
            // With all bits open the digit tells too little: the key's own bits do, from the first.
            if all_are_wanted || open < 64 {
                (prefix, wanted) = (Prefix::new(least, open), found.wanted);
            }
        } else {
            prefix.append(&digit, found.digit, units);
            wanted = found.wanted;
        }
        // With all bits known it is one unit, which is wanted. The loop ends even if a map that somebody writes meanwhile
        // gives none.
        if all_are_wanted || prefix.open == 0 {
            return prefix.bits;
        }
        digit = prefix.next_digit();
    }
}

/// What is known of the last unit's rank: its highest bits.
struct Prefix {
    /// Those bits, in their places, above zeros.
    bits: u64,
    /// Ones in the places of those bits.
    known: u64,
    /// How many bits are not known.
    open: u32,
}

/// The coarse digit of a rank's key, or some bits of the half of a rank that lies in its low or high word.
struct Digit {
    coarse: bool,
    high: bool,
    shift: u32,
    mask: u32,
}

impl Digit {
    const COARSE: Self = Self { coarse: true, high: true, shift: 0, mask: 0 };

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn of(&self, rank: u64) -> u32 {
        let half = if self.high { (rank >> 32) as u32 } else { rank as u32 };
        if self.coarse { coarse(half) } else { half >> self.shift & self.mask }
    }
}

impl Prefix {
    const EMPTY: Self = Self { bits: 0, known: 0, open: 64 };

    /// The bits of `rank` above its lowest `open`, which are zero.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn new(rank: u64, open: u32) -> Self {
        Self { bits: rank, known: if open == 64 { 0 } else { u64::MAX << open }, open }
    }

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn begins(&self, rank: u64) -> bool {
        rank & self.known == self.bits
    }

    /// The highest bits that are not known: of the key, then, where keys are equal, of the unit.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn next_digit(&self) -> Digit {
        let high = self.open > 32;
        let open = if high { self.open - 32 } else { self.open };
        let shift = open.saturating_sub(DIGIT);
        Digit { coarse: false, high, shift, mask: (1 << (open - shift)) - 1 }
    }

    /// Adds the value of the next digit. Bits in which the units of the sequence, so many, do not differ need none.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn append(&mut self, digit: &Digit, value: u32, units: u32) {
        let shift = if digit.high { digit.shift + 32 } else { digit.shift };
        self.bits |= u64::from(value) << shift;
        self.open = shift;
        if self.open == 32 {
            self.open -= (units - 1).leading_zeros();
            self.bits |= 0xffff_ffff >> self.open << self.open;
        }
        self.known = u64::MAX << self.open;
    }
}
