//! From many candidates timed once or twice to the fastest: successive halving, then a race by confidence intervals.
//! Launches go where the doubt is.

use super::statistics::{Estimate, median};

/// How many launches a choice is worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Race {
    /// The most candidates that begin, beside the one that stays.
    pub(crate) entrants: usize,
    /// Candidates slower than this many times the fastest do not begin.
    pub(crate) reach: f64,
    /// Candidates that halving leaves.
    pub(crate) finalists: usize,
    /// The most launches of one candidate, those before the race counted.
    pub(crate) launches: usize,
    /// Whoever is within this share of the fastest does not leave: it may yet be the choice.
    pub(crate) band: f64,
    /// A candidate that begins and stays however slow it is.
    pub(crate) stays: Option<usize>,
}

/// A candidate and its times so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entrant {
    /// The candidate.
    pub(crate) candidate: usize,
    /// Its times, one for each round that it was part of, and those from before; at least one.
    pub(crate) times: Vec<f64>,
}

/// How a race ended, the fastest of each first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Finish {
    /// Who was not left behind.
    pub(crate) ahead: Vec<Entrant>,
    /// Who left because others are faster.
    pub(crate) behind: Vec<Entrant>,
}

/// A round: one launch of each of these candidates. Gives their times in the same order, nothing for one that no longer runs;
/// nothing at all ends the race.
pub(crate) type Round<'a> = dyn FnMut(&[usize]) -> Option<Vec<Option<f64>>> + 'a;

/// The samples with which a candidate may be left behind. The ranges of so many samples of two equals lie apart in one case of 35;
/// those of two samples in one of three.
const SURE: usize = 4;

impl Entrant {
    fn median(&self) -> f64 {
        median(&self.times).unwrap_or(f64::INFINITY)
    }
}

impl Race {
    /// The race of a replay.
    pub(crate) const REPLAY: Self =
        Self { entrants: 16, reach: 1.25, finalists: 4, launches: 12, band: 0.0, stays: None };

    /// Runs `entrants` against each other, round by round. One that gives no time is out of it.
    ///
    /// While there are more than the finalists, every candidate doubles its times and the slower half leaves. In the race
    /// behind it a candidate leaves when the 95 % confidence interval of its median lies above that of the fastest, or their whole
    /// ranges do where samples are few.
    pub(crate) fn run(&self, mut entrants: Vec<Entrant>, round: &mut Round<'_>) -> Finish {
        rank(&mut entrants);
        let limit = entrants.first().map_or(0.0, |fastest| fastest.median() * self.reach);
        let mut begun = 0;
        entrants.retain(|entrant| {
            let begins = entrant.median() <= limit && begun < self.entrants;
            begun += usize::from(begins);
            begins || self.stays == Some(entrant.candidate)
        });
        let mut finish = Finish { ahead: entrants, behind: Vec::new() };
        while finish.ahead.len() > self.finalists && finish.launches() < self.launches {
            let more = finish.launches().min(self.launches - finish.launches());
            if (0..more).any(|_| !finish.round(round)) {
                return finish;
            }
            let half = (finish.ahead.len() / 2).max(self.finalists);
            finish.leave(self, |place, _| place >= half);
        }
        while finish.ahead.len() > 1 && finish.launches() < self.launches {
            if !finish.round(round) {
                return finish;
            }
            let fastest = finish.ahead.first().and_then(|fastest| Estimate::of(&fastest.times));
            finish.leave(self, |_, entrant| {
                let intervals = fastest.zip(Estimate::of(&entrant.times));
                intervals.is_some_and(|(fastest, own)| {
                    own.samples.min(fastest.samples) >= SURE && own.low > fastest.high
                })
            });
        }
        finish
    }
}

impl Finish {
    /// The times of whoever has fewest.
    fn launches(&self) -> usize {
        self.ahead.iter().map(|entrant| entrant.times.len()).min().unwrap_or(usize::MAX)
    }

    /// One round of those ahead; whether there was one.
    fn round(&mut self, round: &mut Round<'_>) -> bool {
        let candidates: Vec<usize> = self.ahead.iter().map(|entrant| entrant.candidate).collect();
        let Some(times) = round(&candidates) else { return false };
        let mut times = times.into_iter();
        self.ahead.retain_mut(|entrant| {
            let time = times.next().flatten();
            entrant.times.extend(time);
            time.is_some()
        });
        rank(&mut self.ahead);
        true
    }

    /// Leaves behind those whom `leaves` names by place and times, unless they are near enough or stay.
    fn leave(&mut self, race: &Race, leaves: impl Fn(usize, &Entrant) -> bool) {
        let near = self.ahead.first().map_or(0.0, |fastest| fastest.median() * (1.0 + race.band));
        let mut place = 0;
        let behind = self.ahead.extract_if(.., |entrant| {
            place += 1;
            let stays = race.stays == Some(entrant.candidate) || entrant.median() <= near;
            !stays && leaves(place - 1, entrant)
        });
        self.behind.extend(behind);
        rank(&mut self.behind);
    }
}

fn rank(entrants: &mut [Entrant]) {
    entrants.sort_by(|a, b| a.median().total_cmp(&b.median()).then(a.candidate.cmp(&b.candidate)));
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
        let finish = Race::REPLAY.run(entrants, &mut |candidates| {
            launches += candidates.len();
            Some(candidates.iter().map(|&candidate| Some(sample(candidate))).collect())
        });
        (finish.ahead.into_iter().map(|entrant| entrant.candidate).collect(), launches)
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
        assert!(launches <= 3 * 3, "as many samples as a verdict takes: {launches} launches");
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
        let finish = Race::REPLAY.run(entrants, &mut |candidates| {
            Some(candidates.iter().map(|&candidate| (candidate != 0).then_some(1.1)).collect())
        });
        assert!(finish.behind.is_empty(), "who no longer runs is not behind, but out");
        let left: Vec<usize> = finish.ahead.into_iter().map(|entrant| entrant.candidate).collect();
        assert_eq!(left, [1, 2]);
    }

    #[test]
    fn without_entrants_nobody_wins() {
        assert_eq!(Race::REPLAY.run(Vec::new(), &mut |_| Some(Vec::new())), Finish::default());
    }

    /// Runs a race of candidates that always take these times; who is ahead, who is behind, and the rounds of each.
    fn steady(race: Race, times: &[f64]) -> [Vec<(usize, usize)>; 2] {
        let entrants = (0..times.len()).map(|candidate| Entrant { candidate, times: vec![times[candidate]] });
        let finish = race.run(entrants.collect(), &mut |candidates| {
            Some(candidates.iter().map(|&candidate| Some(times[candidate])).collect())
        });
        let rounds = |entrants: Vec<Entrant>| {
            entrants.into_iter().map(|entrant| (entrant.candidate, entrant.times.len())).collect()
        };
        [rounds(finish.ahead), rounds(finish.behind)]
    }

    #[test]
    fn whoever_is_within_the_band_runs_every_round_and_so_does_the_one_that_stays() {
        let race = Race { finalists: 2, band: 0.02, stays: Some(5), ..Race::REPLAY };
        let [ahead, behind] = steady(race, &[10.0, 10.1, 10.15, 10.19, 11.0, 50.0]);
        assert_eq!(ahead, [(0, 12), (1, 12), (2, 12), (3, 12), (5, 12)]);
        assert_eq!(behind, [(4, 2)]);
    }

    #[test]
    fn a_race_that_is_ended_keeps_what_it_has() {
        let entrants =
            (0..9).map(|candidate| Entrant { candidate, times: vec![1.0 + candidate as f64 / 100.0] });
        let mut rounds = 0;
        let finish = Race::REPLAY.run(entrants.collect(), &mut |candidates| {
            rounds += 1;
            (rounds < 2).then(|| candidates.iter().map(|_| Some(1.0)).collect())
        });
        assert_eq!((finish.ahead.len(), finish.behind.len(), finish.ahead[0].candidate), (4, 5, 0));
        assert!(finish.ahead.iter().all(|entrant| entrant.times.len() == 2));
    }
}
