//! Who wins: a tie band around the fastest, and a deterministic order inside it.

use super::{bench::Field, statistics::Estimate};

/// Ties are never narrower than this share of the fastest median.
pub(crate) const RELATIVE_BAND: f64 = 0.02;

/// Nor than this many microseconds, the resolution of the clocks in use.
pub(crate) const ABSOLUTE_BAND: f64 = 0.15;

/// One finalist and what its rounds amount to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finalist {
    /// Position among the candidates.
    pub(crate) candidate: usize,
    /// Its median over the rounds.
    pub(crate) estimate: Estimate,
    /// Spread of its rounds, in microseconds.
    pub(crate) spread: f64,
}

/// The winner and those that cannot be told from it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// The winner, before it has met the default in pairs.
    pub(crate) winner: usize,
    /// Every candidate inside the tie band, the winner first, in the order in which ties are broken.
    pub(crate) tied: Vec<usize>,
    /// Width of the tie band, in microseconds above the fastest.
    pub(crate) band: f64,
}

/// Judges the finalists; nothing if there are none.
///
/// The tie band is the largest of 2 % of the fastest median, the measured spread of the fastest, and 0.15 µs. The
/// default wins every tie it is part of; otherwise the fewest resources win, then the id.
pub(crate) fn judge(field: Field<'_>, finalists: &[Finalist]) -> Option<Verdict> {
    let Field { candidates, default } = field;
    let fastest = finalists.iter().min_by(|a, b| a.estimate.median.total_cmp(&b.estimate.median))?;
    let band = (RELATIVE_BAND * fastest.estimate.median).max(fastest.spread).max(ABSOLUTE_BAND);
    let limit = fastest.estimate.median + band;
    let mut tied: Vec<usize> =
        finalists.iter().filter(|one| one.estimate.median <= limit).map(|one| one.candidate).collect();
    tied.sort_by(|&a, &b| {
        let rank =
            |index: usize| (index != default, candidates[index].resources, candidates[index].id.as_str());
        rank(a).cmp(&rank(b))
    });
    Some(Verdict { winner: tied[0], tied, band })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::bench::{Candidate, Resources};

    fn candidate(id: &str, threads: u64) -> Candidate {
        Candidate { id: id.into(), resources: Resources { threads, ..Resources::default() } }
    }

    fn field(candidates: &[Candidate]) -> Field<'_> {
        Field { candidates, default: 0 }
    }

    fn finalist(candidate: usize, median: f64, spread: f64) -> Finalist {
        let estimate = Estimate { median, low: median, high: median, samples: 12 };
        Finalist { candidate, estimate, spread }
    }

    #[test]
    fn the_default_wins_a_tie() {
        let candidates = [candidate("default", 512), candidate("faster", 128)];
        let verdict = judge(field(&candidates), &[finalist(0, 10.1, 0.0), finalist(1, 10.0, 0.0)]).unwrap();
        assert_eq!(verdict.tied, [0, 1]);
        assert_eq!(verdict.winner, 0);
    }

    #[test]
    fn fewer_resources_win_a_tie_and_then_the_id() {
        let candidates =
            [candidate("default", 1), candidate("b", 128), candidate("a", 128), candidate("c", 256)];
        let finalists =
            [finalist(0, 20.0, 0.0), finalist(1, 10.0, 0.0), finalist(2, 10.1, 0.0), finalist(3, 9.95, 0.0)];
        let verdict = judge(field(&candidates), &finalists).unwrap();
        assert_eq!(verdict.tied, [2, 1, 3]);
    }

    #[test]
    fn the_band_is_never_narrower_than_the_noise_or_the_clock() {
        let candidates = [candidate("default", 1), candidate("other", 2)];
        let band = |median, spread| judge(field(&candidates), &[finalist(1, median, spread)]).unwrap().band;
        assert!((band(100.0, 0.0) - 2.0).abs() < 1e-12);
        assert!((band(100.0, 5.0) - 5.0).abs() < 1e-12);
        assert!((band(1.0, 0.0) - 0.15).abs() < 1e-12);
    }

    #[test]
    fn without_finalists_there_is_no_verdict() {
        assert_eq!(judge(field(&[candidate("default", 1)]), &[]), None);
    }
}
