//! What is left of a target's distribution when drafts of a node have been rejected.
//!
//! `p ← norm(max(p - q, 0))`, repeated, is `norm(max(p - c · q, 0))` with one number `c`, since `max(max(a - b, 0) - c, 0)` is
//! `max(a - b - c, 0)`: it grows by `mass / rest` with each rejection, where `mass` is what the numerator has summed up to before, and
//! `rest` what of `q` there was to draw from, 1 if drafts are drawn independently. So a distribution is never stored.

use super::{
    params::{Params, proposal},
    scores::{Measure, Row},
    team::Team,
};
use crate::simt::{Shared, math, thread};

/// A row of scores, and its figures.
#[derive(Clone, Copy)]
pub(super) struct Distribution {
    pub(super) row: Row,
    pub(super) measure: Measure,
    pub(super) max: f32,
    /// 1 / the sum of the weights; 0 where there are none, and so no token has a probability.
    pub(super) inverse_sum: f32,
}

impl Distribution {
    /// The probability of a token by its score.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn probability(&self, score: f32) -> f32 {
        self.measure.weight(score, self.max) * self.inverse_sum
    }
}

/// A node's distribution, and what of it is left.
#[derive(Clone, Copy)]
pub(super) struct Residual {
    pub(super) target: Distribution,
    pub(super) draft: Distribution,
    pub(super) vocabulary: u32,
    proposal: u32,
    /// The rows whose drafts have been rejected, a bit each.
    rejected: u64,
    /// How much of the draft's distribution is taken from the target's.
    taken: f32,
    /// The sum of what is left.
    mass: f32,
    /// What of the draft's distribution there is to draw from.
    rest: f32,
    /// What each row drafts.
    drafted: Shared<[u32; 4]>,
}

impl Residual {
    /// All of a node's distribution.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn whole(
        target: Distribution,
        draft: Distribution,
        params: &Params,
        drafted: Shared<[u32; 4]>,
    ) -> Self {
        let (vocabulary, proposal) = (params.vocabulary, params.proposal);
        Self { target, draft, vocabulary, proposal, rejected: 0, taken: 0.0, mass: 1.0, rest: 1.0, drafted }
    }

    /// Gives back what has been taken.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn restore(&mut self) {
        (self.rejected, self.taken, self.mass, self.rest) = (0, 0.0, 1.0, 1.0);
    }

    /// Whether anything has been taken.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn is_whole(&self) -> bool {
        self.rejected == 0
    }

    /// Whether a draft of probability `p` by the target and `q` by the draft, a number above 0, is accepted by the draw `u`. A
    /// token that has been rejected before has none left.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn accepts(&self, p: f32, q: f32, u: f32) -> bool {
        let (left, asked) = (p - self.taken * q, self.mass / self.rest * q);
        left > 0.0 && (left >= asked || u * asked < left)
    }

    /// Takes away what the rejected draft of `row` stood for.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn reject(&mut self, row: u32) {
        self.rejected |= 1 << row;
        if self.proposal != proposal::CERTAIN {
            self.taken += self.mass / self.rest;
        }
    }

    /// Whether `token` has been rejected.
    ///
    /// # Safety
    /// The rows' drafts have been stored.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn has_rejected(&self, token: u32) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.rejected_of_four(token & !3) >> (token % 4) & 1 != 0 }
    }

    /// Which of the four tokens from `first` on have been rejected, a bit each.
    ///
    /// # Safety
    /// As [`Residual::has_rejected`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn rejected_of_four(&self, first: u32) -> u32 {
        let (mut rows, mut bits) = (self.rejected, 0);
        while rows != 0 {
            // SAFETY: the caller's promise.
            let distance = unsafe { self.drafted.load(rows.trailing_zeros()) }[0].wrapping_sub(first);
            if distance < 4 {
                bits |= 1 << distance;
            }
            rows &= rows - 1;
        }
        bits
    }

    /// The scores of four tokens from `first` on, by the target and by the draft: negative infinity where there are no tokens, and
    /// by the draft where nothing is taken.
    ///
    /// # Safety
    /// The rows of scores exist.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn load_four(&self, first: u32) -> [[f32; 4]; 2] {
        let mut scores = [[f32::NEG_INFINITY; 4]; 2];
        if first < self.vocabulary {
            // SAFETY: the caller's promise.
            unsafe {
                scores[0] = self.target.row.load_four(first);
                if self.taken > 0.0 {
                    scores[1] = self.draft.row.load_four(first);
                }
            }
        }
        scores
    }

    /// What is left of four tokens from `first` on, and their probabilities by the draft where something is taken, by their scores:
    /// without those that have been rejected.
    ///
    /// # Safety
    /// As [`Residual::has_rejected`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn of_four(&self, first: u32, scores: [[f32; 4]; 2]) -> ([f32; 4], [f32; 4]) {
        // SAFETY: the caller's promise.
        let rejected = unsafe { self.rejected_of_four(first) };
        let takes = self.taken > 0.0;
        let (mut left, mut drawn) = ([0.0; 4], [0.0; 4]);
        for item in 0..4 {
            if rejected >> item & 1 == 0 {
                let p = self.target.probability(scores[0][item]);
                let q = if takes { self.draft.probability(scores[1][item]) } else { 0.0 };
                (left[item], drawn[item]) = (math::max(p - self.taken * q, 0.0), q);
            }
        }
        (left, drawn)
    }

    /// Sums up what is left, by all threads of the team, which take part together. Whether it is more than nothing.
    ///
    /// # Safety
    /// As [`Residual::has_rejected`] and [`Residual::load_four`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub(super) unsafe fn sum<const W: u32, const C: u32>(&mut self, team: &mut Team<W, C>) -> bool {
        let (mut mass, mut rest) = (0.0, 0.0);
        let mut first = team.first_token();
        while first < self.vocabulary {
            // SAFETY: the caller's promise.
            let (left, drawn) = unsafe { self.of_four(first, self.load_four(first)) };
            for item in 0..4 {
                mass += left[item];
                rest += drawn[item];
            }
            first = thread::opaque(first + Team::<W, C>::STRIDE);
        }
        let pack = |mass: f32, rest: f32| u64::from(mass.to_bits()) << 32 | u64::from(rest.to_bits());
        let mass_of = |pair: u64| f32::from_bits((pair >> 32) as u32);
        let rest_of = |pair: u64| f32::from_bits(pair as u32);
        let sums =
            team.combine(pack(mass, rest), 0, |a, b| pack(mass_of(a) + mass_of(b), rest_of(a) + rest_of(b)));
        self.mass = mass_of(sums);
        if self.proposal == proposal::WITHOUT_REPLACEMENT {
            self.rest = rest_of(sums);
        }
        self.mass > 0.0
    }
}
