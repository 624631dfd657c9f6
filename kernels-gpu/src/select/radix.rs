//! Radix selection of the best units of a map.

use super::{
    histogram::{DIGIT, Histogram},
    rank::{ABOVE_ALL, rank},
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

    /// The `count` best of the choice's free units that are not in `taken`: at least one, and fewer than there are.
    ///
    /// # Safety
    /// As [`Scores::load`], for both maps. All threads of the team take part, having met behind [`Histogram::new`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn best<const CLUSTERED: bool, const N: usize>(
        team: &Team<CLUSTERED>,
        histogram: &mut Histogram<'_, CLUSTERED>,
        choice: &Choice,
        taken: &Chosen,
        scores: Scores,
        count: u32,
    ) -> Self {
        let [begin, end] = team.share(choice.units);
        let (begin, end) = (begin.max(choice.free_begin), end.min(choice.free_end));
        let mut prefix = Prefix::EMPTY;
        let mut wanted = count;
        loop {
            let digit = prefix.next_digit();
            let mut base = begin;
            while base < end {
                let first = base + lane();
                // SAFETY: the caller's promise.
                let (scores, taken) = unsafe { (scores.load::<N>(first), taken.hold::<N>(first)) };
                for i in 0..N {
                    let unit = first + WARP * i as u32;
                    let rank = rank(scores[i], unit);
                    if unit < end && !taken[i] && prefix.begins(rank) {
                        // SAFETY: a digit is one of the bins; the caller's promise, or the last `find`.
                        unsafe { histogram.count(digit.of(rank)) };
                    }
                }
                base += WARP * N as u32;
            }
            let found = histogram.find(wanted);
            prefix.append(&digit, found.digit, choice.units);
            wanted = found.wanted;
            // With all bits known it is one unit, which is wanted. The loop ends even if a map that somebody writes
            // meanwhile gives none.
            if found.there == wanted || prefix.open == 0 {
                return Self { scores, threshold: prefix.bits };
            }
        }
    }
}

/// What is known of the last unit's rank: its highest bits.
pub(super) struct Prefix {
    /// Those bits, in their places, above zeros.
    bits: u64,
    /// Ones in the places of those bits.
    known: u64,
    /// How many bits are not known.
    pub(super) open: u32,
}

/// Some bits of the half of a rank that lies in its low or high word.
pub(super) struct Digit {
    pub(super) high: bool,
    pub(super) shift: u32,
    pub(super) mask: u32,
}

impl Digit {
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn of(&self, rank: u64) -> u32 {
        self.of_half(if self.high { (rank >> 32) as u32 } else { rank as u32 })
    }

    /// The digit of the rank whose high or low word, whichever it lies in, is `half`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_half(&self, half: u32) -> u32 {
        half >> self.shift & self.mask
    }
}

impl Prefix {
    pub(super) const EMPTY: Self = Self { bits: 0, known: 0, open: 64 };

    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn begins(&self, rank: u64) -> bool {
        rank & self.known == self.bits
    }

    /// The highest bits that are not known: of the key, then, where keys are equal, of the unit.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn next_digit(&self) -> Digit {
        let high = self.open > 32;
        let open = if high { self.open - 32 } else { self.open };
        let shift = open.saturating_sub(DIGIT);
        Digit { high, shift, mask: (1 << (open - shift)) - 1 }
    }

    /// Adds the value of the next digit. Bits in which the units of the sequence, so many, do not differ need none.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn append(&mut self, digit: &Digit, value: u32, units: u32) {
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
