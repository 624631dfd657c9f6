//! What is left of a target's distribution when drafts of a node have been rejected: `norm(max(p - taken · q, 0))`, as in the
//! kernels.

use dustin_kernels::accept::draws::{Draws, exponential_floor};

use super::row::Row;
use crate::accept::problem::Draft;

/// Tokens whose weights are summed at a time.
const PART: usize = 256;

/// What becomes of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Rejected,
    /// It cannot have been drawn: it says nothing of the target's tokens.
    PassedOver,
    /// Rounding has left nothing: no more drafts are to be tried.
    NothingLeft,
}

/// A node's distribution, and what of it is left.
pub(super) struct Residual<'a> {
    target: &'a Row<'a>,
    /// What the node's drafts were drawn from, if they were.
    draft: Option<&'a Row<'a>>,
    of: Option<Draft>,
    rejected: Vec<u32>,
    taken: f32,
    mass: f32,
    rest: f32,
}

impl<'a> Residual<'a> {
    /// All of a node's distribution.
    pub(super) fn whole(target: &'a Row<'a>, draft: Option<&'a Row<'a>>, of: Option<Draft>) -> Self {
        Self { target, draft, of, rejected: Vec::new(), taken: 0.0, mass: 1.0, rest: 1.0 }
    }

    fn restore(&mut self) {
        self.rejected.clear();
        (self.taken, self.mass, self.rest) = (0.0, 1.0, 1.0);
    }

    /// Tries the draft `token` with the draw `u`.
    pub(super) fn try_draft(&mut self, token: u32, u: f32) -> Verdict {
        let is_gone = self.rejected.contains(&token);
        let q = match (self.of, self.draft) {
            (None, _) => f32::from(u8::from(!is_gone)),
            (Some(of), Some(draft)) if !(of.without_replacement && is_gone) => {
                draft.probability(token as usize)
            }
            _ => 0.0,
        };
        if q == 0.0 {
            return Verdict::PassedOver;
        }
        if !self.rejected.is_empty() && !self.sum() {
            return Verdict::NothingLeft;
        }
        let left = self.target.probability(token as usize) - self.taken * q;
        let asked = self.mass / self.rest * q;
        if left > 0.0 && (left >= asked || u * asked < left) {
            return Verdict::Accepted;
        }
        self.rejected.push(token);
        if self.of.is_some() {
            self.taken += self.mass / self.rest;
        }
        Verdict::Rejected
    }

    /// What is left of a token, and its probability by the draft.
    #[inline(always)]
    fn left(&self, token: usize) -> (f32, f32) {
        let p = self.target.probability(token);
        match self.draft {
            Some(draft) if self.taken > 0.0 => {
                let q = draft.probability(token);
                ((p - self.taken * q).max(0.0), q)
            }
            _ => (p, 0.0),
        }
    }

    /// Sums up what is left. Whether it is more than nothing: else all of the distribution is restored.
    fn sum(&mut self) -> bool {
        let (mut mass, mut rest) = (0.0, 0.0);
        for first in (0..self.target.len()).step_by(PART) {
            let (mut of_part, mut rest_of_part) = (0.0, 0.0);
            for token in first..(first + PART).min(self.target.len()) {
                if !self.rejected.contains(&(token as u32)) {
                    let (left, q) = self.left(token);
                    of_part += left;
                    rest_of_part += q;
                }
            }
            mass += of_part;
            rest += rest_of_part;
        }
        self.mass = mass;
        if self.of.is_some_and(|of| of.without_replacement) {
            self.rest = rest;
        }
        if mass <= 0.0 {
            self.restore();
        }
        mass > 0.0
    }

    /// Draws a token from what is left at `row`; where rounding leaves nothing, from all of it.
    pub(super) fn draw(mut self, draws: &Draws, row: u32) -> u32 {
        loop {
            match self.race(draws, row) {
                Some(token) => return token,
                None if self.rejected.is_empty() => return 0,
                None => self.restore(),
            }
        }
    }

    fn race(&self, draws: &Draws, row: u32) -> Option<u32> {
        let (mut winner, mut least) = (None, f32::INFINITY);
        for first in (0..self.target.len()).step_by(4) {
            let words = draws.race(row, first as u32 / 4);
            for (token, word) in (first..self.target.len()).zip(words) {
                let (left, _) = self.left(token);
                // A token is looked at closely if it may win, as few do.
                if left > 0.0 && exponential_floor(word) <= least * left * 1.000_001 {
                    let key = draws.exponential(row, token as u32, word) / left;
                    if (key < least || winner.is_none()) && !self.rejected.contains(&(token as u32)) {
                        (winner, least) = (Some(token as u32), key);
                    }
                }
            }
        }
        winner
    }
}
