//! From many candidates timed once or twice to the fastest: successive halving, then a race by confidence intervals.
//! Launches go where the doubt is.

use super::statistics::{Estimate, median};

/// How many launches a choice is worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Race {
    /// The most candidates that begin.
    pub(crate) entrants: usize,
    /// Candidates slower than this many times the fastest do not begin.
    pub(crate) reach: f64,
    /// Candidates that halving leaves.
    pub(crate) finalists: usize,
    /// The most launches of one candidate, those before the race counted.
    pub(crate) launches: usize,
}

/// A candidate and its times so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entrant {
    /// The candidate.
    pub(crate) candidate: usize,
    /// Its times; at least one.
    pub(crate) times: Vec<f64>,
}

impl Entrant {
    fn median(&self) -> f64 {
        median(&self.times).unwrap_or(f64::INFINITY)
    }
}

impl Race {
    /// The race of a replay.
    pub(crate) const REPLAY: Self = Self { entrants: 16, reach: 1.25, finalists: 4, launches: 12 };

    /// Runs `entrants` against each other and returns those left, the fastest first. `time` launches a candidate so
    /// many times; one that gives no time leaves the race.
    ///
    /// In each round of halving every candidate doubles its times and the slower half leaves. In the race behind it a
    /// candidate leaves when the 95 % confidence interval of its median lies above that of the fastest.
    pub(crate) fn run(
        &self,
        mut entrants: Vec<Entrant>,
        time: &mut dyn FnMut(usize, usize) -> Vec<f64>,
    ) -> Vec<Entrant> {
        rank(&mut entrants);
        let limit = entrants.first().map_or(0.0, |fastest| fastest.median() * self.reach);
        entrants.retain(|entrant| entrant.median() <= limit);
        entrants.truncate(self.entrants);
        while entrants.len() > self.finalists {
            extend(&mut entrants, time, |times| times);
            entrants.truncate((entrants.len() / 2).max(self.finalists));
        }
        while entrants.len() > 1 && entrants.iter().any(|entrant| entrant.times.len() < self.launches) {
            extend(&mut entrants, time, |times| usize::from(times < self.launches));
            drop_slower(&mut entrants);
        }
        entrants
    }
}

/// Gives every entrant as many more times as `more` says of those it has.
fn extend(
    entrants: &mut Vec<Entrant>,
    time: &mut dyn FnMut(usize, usize) -> Vec<f64>,
    more: impl Fn(usize) -> usize,
) {
    entrants.retain_mut(|entrant| match more(entrant.times.len()) {
        0 => true,
        wanted => {
            let times = time(entrant.candidate, wanted);
            entrant.times.extend(&times);
            !times.is_empty()
        }
    });
    rank(entrants);
}

fn rank(entrants: &mut [Entrant]) {
    entrants.sort_by(|a, b| a.median().total_cmp(&b.median()).then(a.candidate.cmp(&b.candidate)));
}

fn drop_slower(entrants: &mut Vec<Entrant>) {
    let Some(fastest) = entrants.first().and_then(|fastest| Estimate::of(&fastest.times)) else { return };
    entrants.retain(|entrant| Estimate::of(&entrant.times).is_some_and(|own| own.low <= fastest.high));
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    /// Runs a race of candidates with these times and this noise; the candidates left, and the launches taken.
    fn run(times: &[f64], noise: f64, seed: u64) -> (Vec<usize>, usize) {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut sample = |candidate: usize| times[candidate] + noise * (rng.random::<f64>() - 0.5);
        let entrants =
            (0..times.len()).map(|candidate| Entrant { candidate, times: vec![sample(candidate)] }).collect();
        let mut launches = 0;
        let left = Race::REPLAY.run(entrants, &mut |candidate, count| {
            launches += count;
            (0..count).map(|_| sample(candidate)).collect()
        });
        (left.into_iter().map(|entrant| entrant.candidate).collect(), launches)
    }

    #[test]
    fn the_fastest_is_found_through_noise() {
        let mut times: Vec<f64> = (0..40).map(|index| 10.5 + 0.1 * f64::from(index)).collect();
        times[23] = 10.0;
        for seed in 0..50 {
            let (left, launches) = run(&times, 0.8, seed);
            assert_eq!(left[0], 23, "seed {seed}");
            assert!(launches <= 16 + 8 * 2 + 4 * 8, "seed {seed}: {launches}");
        }
    }

    #[test]
    fn what_is_far_apart_takes_few_launches() {
        assert_eq!(run(&[10.0, 20.0, 30.0], 0.1, 1), (vec![0], 0));
        let (left, launches) = run(&[10.0, 12.0, 12.1], 0.1, 1);
        assert_eq!(left, [0]);
        assert!(launches <= 3, "two intervals that never touched: {launches} launches");
    }

    #[test]
    fn equals_stay_until_the_launches_are_spent() {
        let (left, launches) = run(&[10.0; 4], 0.5, 3);
        assert!(left.len() > 1, "{left:?}");
        assert!(launches <= 4 * 11, "{launches}");
    }

    #[test]
    fn who_no_longer_runs_leaves() {
        let entrants = vec![
            Entrant { candidate: 0, times: vec![1.0] },
            Entrant { candidate: 1, times: vec![1.1] },
            Entrant { candidate: 2, times: vec![1.1] },
        ];
        let left = Race::REPLAY.run(entrants, &mut |candidate, count| match candidate {
            0 => Vec::new(),
            _ => vec![1.1; count],
        });
        let left: Vec<usize> = left.into_iter().map(|entrant| entrant.candidate).collect();
        assert_eq!(left, [1, 2]);
    }

    #[test]
    fn without_entrants_nobody_wins() {
        assert_eq!(Race::REPLAY.run(Vec::new(), &mut |_, _| Vec::new()), []);
    }
}
