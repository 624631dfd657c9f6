//! Which of two candidates is better.

use std::cmp::Ordering;

use dustin::verifier::Rules;

use super::{Candidate, Objective};

/// What a descent is after: the objective's own end, or to push the front where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    /// The least time at which this share is kept; until it is, the greatest share.
    Share(f64),
    /// The greatest share in at most so many microseconds.
    Within(f64),
}

impl From<Objective> for Goal {
    fn from(objective: Objective) -> Self {
        match objective {
            Objective::Share(share) => Self::Share(share),
            Objective::Front => Self::GREATEST,
        }
    }
}

impl Goal {
    /// The greatest share, whatever it costs.
    pub(super) const GREATEST: Self = Self::Within(f64::INFINITY);

    /// Whether `a` is better than `b`.
    pub(super) fn prefers(self, a: &Candidate, b: &Candidate) -> bool {
        self.compare(a, b).is_lt()
    }

    /// The better one is less.
    pub(super) fn compare(self, a: &Candidate, b: &Candidate) -> Ordering {
        let ([a, b], [rules, others]) =
            ([self.rank(a), self.rank(b)], [a, b].map(|it| simplicity(&it.rules)));
        let figures = a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2));
        figures.then(rules.cmp(&others))
    }

    /// Whether `candidate` keeps the share or the time.
    pub(super) fn is_met(self, candidate: &Candidate) -> bool {
        match self {
            Self::Share(share) => candidate.share_low >= share,
            Self::Within(most) => candidate.estimation_us <= most,
        }
    }

    /// Whether it fails, then time and share in the order in which they count; less is better.
    fn rank(self, it: &Candidate) -> (bool, f64, f64) {
        let is_met = self.is_met(it);
        let by_time = matches!(self, Self::Share(_)) == is_met;
        let [first, second] =
            if by_time { [it.estimation_us, -it.share_low] } else { [-it.share_low, it.estimation_us] };
        (!is_met, first, second)
    }
}

/// What comes first of equals: a small budget, few heads, a small quota, little else.
fn simplicity(rules: &Rules) -> [u32; 5] {
    let heads = rules.target_heads.iter().chain(&rules.draft_heads).map(|layer| layer.heads.len() as u32);
    [rules.k, heads.sum(), rules.m, rules.pooling, rules.sinks + rules.recent]
}
