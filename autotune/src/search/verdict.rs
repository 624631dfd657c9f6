//! Who wins: a tie band around the fastest, and a deterministic order inside it.

use super::{bench::Field, statistics::Estimate};

/// Ties are never narrower than this share of the fastest median.
pub(crate) const RELATIVE_BAND: f64 = 0.02;

/// Nor than this many microseconds, the resolution of the clocks in use.
pub(crate) const ABSOLUTE_BAND: f64 = 0.15;

/// One finalist and what its rounds amount to.
#[derive(Clone, Debug)]
pub(crate) struct Finalist {
    /// Position among the candidates.
    pub(crate) candidate: usize,
    /// Its median over the rounds.
    pub(crate) estimate: Estimate,
    /// Its time of each round, from the first one that all ran; none if the search was stopped before.
    pub(crate) rounds: Vec<f64>,
}

/// The winner and those that cannot be told from it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// The winner, before it has met the default in pairs.
    pub(crate) winner: usize,
    /// Every candidate inside the tie band, the winner first, in the order in which ties are broken.
    pub(crate) tied: Vec<usize>,
    /// Width of the tie band, in microseconds above the fastest: the widest of those tied.
    pub(crate) band: f64,
}

/// Judges the finalists; nothing if there are none.
///
/// A finalist is tied with the fastest if it lies above it by no more than the tie band: the largest of 2 % of the fastest
/// median, 0.15 µs, and the confidence interval of the difference between the two, round by round, so that drift that met
/// both counts for neither. The default wins every tie that it is part of; otherwise the fewest resources win, then the id.
pub(crate) fn judge(field: Field<'_>, finalists: &[Finalist]) -> Option<Verdict> {
    let Field { candidates, default } = field;
    let fastest = finalists.iter().min_by(|a, b| a.estimate.median.total_cmp(&b.estimate.median))?;
    let floor = (RELATIVE_BAND * fastest.estimate.median).max(ABSOLUTE_BAND);
    let (mut tied, mut band) = (Vec::new(), floor);
    for one in finalists {
        let (behind, doubt) = difference(one, fastest);
        if behind <= floor.max(doubt) {
            tied.push(one.candidate);
            band = band.max(doubt);
        }
    }
    tied.sort_by(|&a, &b| {
        let rank =
            |index: usize| (index != default, candidates[index].resources, candidates[index].id.as_str());
        rank(a).cmp(&rank(b))
    });
    Some(Verdict { winner: tied[0], tied, band })
}

/// By how much `one` is slower than `fastest`, and how far below that the confidence interval reaches, in microseconds.
fn difference(one: &Finalist, fastest: &Finalist) -> (f64, f64) {
    let pairs = one.rounds.iter().zip(&fastest.rounds);
    let differences: Vec<f64> = pairs.map(|(one, fastest)| one - fastest).collect();
    match Estimate::of(&differences) {
        Some(difference) => (difference.median, difference.median - difference.low),
        None => (one.estimate.median - fastest.estimate.median, 0.0),
    }
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

    /// A finalist whose rounds lie around `median`, in turns as far as `spread` above and below.
    fn finalist(candidate: usize, median: f64, spread: f64) -> Finalist {
        let way = [-1.0, 1.0, 0.0, 1.0, -1.0, 0.0, 0.0];
        let rounds: Vec<f64> = way.iter().map(|way| median + way * spread).collect();
        Finalist { candidate, estimate: Estimate::of(&rounds).unwrap(), rounds }
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
    fn the_band_is_never_narrower_than_2_percent_the_clock_or_the_noise_of_the_difference() {
        let candidates = [candidate("default", 1), candidate("other", 2)];
        let tied = |median: f64, behind: f64, spread| {
            let finalists = [finalist(1, median, 0.0), finalist(0, median + behind, spread)];
            judge(field(&candidates), &finalists).unwrap().tied.contains(&0)
        };
        assert!(tied(100.0, 1.99, 0.0) && !tied(100.0, 2.01, 0.0));
        assert!(tied(1.0, 0.149, 0.0) && !tied(1.0, 0.151, 0.0));
        assert!(tied(100.0, 4.9, 5.0) && !tied(100.0, 5.1, 5.0));
        let verdict = judge(field(&candidates), &[finalist(1, 100.0, 0.0), finalist(0, 101.0, 5.0)]).unwrap();
        assert!((verdict.band - 5.0).abs() < 1e-9, "{}", verdict.band);
    }

    #[test]
    fn drift_that_met_both_in_the_same_rounds_makes_no_tie() {
        let candidates = [candidate("default", 1), candidate("other", 2)];
        let drift = [0.0, 30.0, 10.0, 20.0, 5.0, 25.0, 15.0];
        let rounds = |of: f64| drift.iter().map(|drift| of + drift).collect::<Vec<f64>>();
        let one = |candidate, of| {
            let rounds = rounds(of);
            Finalist { candidate, estimate: Estimate::of(&rounds).unwrap(), rounds }
        };
        let verdict = judge(field(&candidates), &[one(0, 105.0), one(1, 100.0)]).unwrap();
        assert_eq!(verdict.tied, [1]);
    }

    #[test]
    fn without_finalists_there_is_no_verdict() {
        assert_eq!(judge(field(&[candidate("default", 1)]), &[]), None);
    }
}
