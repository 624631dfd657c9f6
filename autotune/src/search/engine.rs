//! The stages of one search.

use std::time::Duration;

use super::{
    bench::{Bench, Failure, Field, time},
    conditions::Steadiness,
    confirm::run_off,
    course::Course,
    history::History,
    race::{Entrant, Race},
    statistics::{Estimate, median},
    verdict::{Finalist, Verdict, judge},
};

/// By how many microseconds a run on its own may exceed one of many: it pays for its start.
const LONE_RUN_US: f64 = 200.0;

/// How a search goes about it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Time for this problem; screening ends at four fifths of it, so that the finals have the rest.
    pub(crate) budget: Option<Duration>,
    /// Repetitions of a candidate that is screened.
    pub(crate) screening: u32,
    /// A candidate whose first repetition takes this many times the best median so far is not repeated.
    pub(crate) prune: f64,
    /// The most candidates in the finals, the default not counted.
    pub(crate) entrants: usize,
    /// Candidates within this factor of the best screened median reach the finals.
    pub(crate) reach: f64,
    /// Candidates that successive halving leaves for the race.
    pub(crate) finalists: usize,
    /// Whoever is within this share of the fastest is not left behind: the tie band is no narrower.
    pub(crate) band: f64,
    /// The most rounds of the finals; everyone who is not left behind runs once per round.
    pub(crate) rounds: u32,
    /// Repetitions of a finalist in one round.
    pub(crate) repetitions: u32,
    /// Pairs of the run-off between winner and default.
    pub(crate) pairs: u32,
}

/// The part of a search that is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Every candidate is checked and timed briefly.
    Screening,
    /// Finalists take turns.
    Finals,
    /// The winner meets the default.
    Confirming,
}

/// What surrounds a search: its clock, the user's wish to stop, and who watches.
pub(crate) trait Surroundings {
    /// Time since the search of this problem began.
    fn elapsed(&self) -> Duration;
    /// Whether the user wants it to stop.
    fn interrupted(&self) -> bool;
    /// `done` of `total` steps of `stage` are behind; `best` is the least median so far, in microseconds.
    fn progress(&mut self, stage: Stage, done: usize, total: usize, best: Option<f64>);
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Status {
    /// The search ended before its turn.
    Untried,
    /// It cannot serve the problem, for this reason.
    Rejected(String),
    /// Slow when it was checked, or in its first repetition: that time, in microseconds.
    Pruned(f64),
    /// Its screened median, in microseconds.
    Screened(f64),
    /// Its estimate over those rounds of the finals that it was part of.
    Finalist(Estimate),
}

impl Status {
    /// What is known of its time, in microseconds.
    pub(crate) fn time(&self) -> Option<f64> {
        match self {
            Self::Untried | Self::Rejected(_) => None,
            Self::Pruned(time) | Self::Screened(time) => Some(*time),
            Self::Finalist(estimate) => Some(estimate.median),
        }
    }
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every candidate, or as many as were wanted, had its turn.
    Complete,
    /// The budget ran out.
    Budget,
    /// The user stopped it.
    Interrupted,
}

/// The result of a search.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// What became of each candidate.
    pub(crate) statuses: Vec<Status>,
    /// The choice.
    pub(crate) chosen: usize,
    /// Its time.
    pub(crate) time: Estimate,
    /// The default's time; nothing if the default cannot serve the problem.
    pub(crate) default_time: Option<Estimate>,
    /// Candidates that cannot be told from the fastest, in the order in which ties are broken.
    pub(crate) tied: Vec<usize>,
    /// Width of the tie band, in microseconds.
    pub(crate) band: f64,
    /// Why the search ended.
    pub(crate) ending: Ending,
    /// Rounds that were not counted, each with what was wrong with the device.
    pub(crate) discarded: Vec<String>,
}

impl Outcome {
    /// The candidate of the least time, and that time in microseconds.
    pub(crate) fn fastest(&self) -> Option<(usize, f64)> {
        let times = self.statuses.iter().enumerate();
        let times = times.filter_map(|(candidate, status)| Some((candidate, status.time()?)));
        times.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Why a search has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// Nothing served the problem.
    #[error(
        "none of the {tried} candidates tried serves the problem; the first failed because {reason}: report this \
         with the output of `autotune plan`"
    )]
    NoneServes {
        /// Candidates tried.
        tried: usize,
        /// Why the first of them failed.
        reason: String,
    },
    /// The search was stopped before any candidate was timed.
    #[error("the search was stopped before any candidate was timed: give it a longer --budget")]
    NothingTimed,
    /// Nothing more can be measured.
    #[error("{0}; run the command again, with --resume if it was tuning: what was measured is kept")]
    Device(String),
}

/// Searches the candidates of `field`, which `bench` was prepared for, on the `course` through them, the default first.
///
/// # Errors
/// No candidate serves the problem, none was timed before the search was stopped, or the device is lost.
pub(crate) fn search(
    field: Field<'_>,
    course: Course<'_>,
    bench: &mut dyn Bench,
    settings: &Settings,
    surroundings: &mut dyn Surroundings,
) -> Result<Outcome, SearchError> {
    let statuses = vec![Status::Untried; field.candidates.len()];
    let (best, ending, discarded) = (None, Ending::Complete, Vec::new());
    let mut engine = Engine { field, bench, settings, surroundings, statuses, best, ending, discarded };
    engine.screen(course)?;
    let verdict = engine.finals()?;
    engine.confirm(verdict)
}

struct Engine<'a> {
    field: Field<'a>,
    bench: &'a mut dyn Bench,
    settings: &'a Settings,
    surroundings: &'a mut dyn Surroundings,
    statuses: Vec<Status>,
    best: Option<f64>,
    ending: Ending,
    discarded: Vec<String>,
}

impl Engine<'_> {
    /// Whether the search must end, at the latest after `share` of its budget.
    fn over(&mut self, share: f64) -> bool {
        if self.surroundings.interrupted() {
            self.ending = Ending::Interrupted;
        } else if self
            .settings
            .budget
            .is_some_and(|budget| self.surroundings.elapsed() >= budget.mul_f64(share))
        {
            self.ending = Ending::Budget;
        } else {
            return false;
        }
        true
    }

    /// Checks and times the default and the candidates of `course`.
    fn screen(&mut self, mut course: Course<'_>) -> Result<(), SearchError> {
        let mut history = History::new(self.statuses.len());
        let mut next = Some(self.field.default);
        while let Some(candidate) = next {
            let done = history.trials().len();
            self.surroundings.progress(Stage::Screening, done, course.trials(), self.best);
            if done > 0 && self.over(0.8) {
                break;
            }
            let status = match self.try_one(candidate) {
                Ok(status) => status,
                Err(Failure::Candidate(reason)) => Status::Rejected(reason),
                Err(Failure::Device(reason)) => return Err(SearchError::Device(reason)),
            };
            history.tell(candidate, status.time());
            self.statuses[candidate] = status;
            next = course.next(&history);
        }
        Ok(())
    }

    /// A check, one repetition unless the check's run was hopeless already, and the rest of them unless that was.
    fn try_one(&mut self, candidate: usize) -> Result<Status, Failure> {
        let glimpse = self.bench.check(candidate)?;
        if let (Some(once), Some(best)) = (glimpse, self.best)
            && once > self.settings.prune * best + LONE_RUN_US
        {
            return Ok(Status::Pruned(once));
        }
        let mut times = time(self.bench, candidate, 1)?;
        if let (Some(&first), Some(best)) = (times.first(), self.best)
            && first > self.settings.prune * best
        {
            return Ok(Status::Pruned(first));
        }
        times.extend(time(self.bench, candidate, self.settings.screening.saturating_sub(1))?);
        let Some(time) = median(&times) else { return Err(Failure::Candidate("it gave no times".into())) };
        self.best = Some(self.best.map_or(time, |best| best.min(time)));
        Ok(Status::Screened(time))
    }

    /// Successive halving and the race behind it, among those whose screening came near the best, and the default.
    fn finals(&mut self) -> Result<Verdict, SearchError> {
        let Settings { entrants, reach, finalists, band, rounds, .. } = *self.settings;
        // The screened median counts as a launch, since it decides who is ahead until there are rounds.
        let launches = rounds as usize + 1;
        let stays = Some(self.field.default);
        let race = Race { entrants: entrants.max(1), reach, finalists, launches, band, stays };
        let screened = self.statuses.iter().enumerate().filter_map(|(candidate, status)| match status {
            Status::Screened(time) => Some(Entrant { candidate, times: vec![*time] }),
            _ => None,
        });
        let screened = screened.collect();
        let mut steadiness = Steadiness::new(self.bench.conditions());
        let (mut done, mut lost) = (0, None);
        let finish = race.run(screened, &mut |candidates| {
            self.surroundings.progress(Stage::Finals, done, rounds as usize, self.best);
            done += 1;
            loop {
                if self.over(1.0) {
                    return None;
                }
                let times = match self.round(candidates, done) {
                    Ok(times) => times,
                    Err(reason) => {
                        lost = Some(reason);
                        return None;
                    }
                };
                match steadiness.objection(self.bench.conditions()) {
                    None => return Some(times),
                    Some(objection) => self.discarded.push(objection),
                }
            }
        });
        if let Some(reason) = lost {
            return Err(SearchError::Device(reason));
        }
        let mut judge_all = |entrants: &[Entrant]| -> Vec<Finalist> {
            let found: Vec<Finalist> = entrants.iter().filter_map(finalist).collect();
            for one in &found {
                self.statuses[one.candidate] = Status::Finalist(one.estimate);
            }
            found
        };
        judge_all(&finish.behind);
        let ahead = judge_all(&finish.ahead);
        judge(self.field, &ahead).ok_or_else(|| self.nothing())
    }

    /// One round of `candidates`, each round beginning with another one: the median of each one's repetitions, or nothing for
    /// one that fails, which is rejected.
    ///
    /// # Errors
    /// Nothing more can be measured.
    fn round(&mut self, candidates: &[usize], number: usize) -> Result<Vec<Option<f64>>, String> {
        let mut times = vec![None; candidates.len()];
        for turn in 0..candidates.len() {
            let place = (turn + number) % candidates.len();
            let candidate = candidates[place];
            // It may have failed in a round that was not counted.
            if matches!(self.statuses[candidate], Status::Rejected(_)) {
                continue;
            }
            match time(self.bench, candidate, self.settings.repetitions) {
                Ok(found) => times[place] = median(&found),
                Err(Failure::Candidate(reason)) => self.statuses[candidate] = Status::Rejected(reason),
                Err(Failure::Device(reason)) => return Err(reason),
            }
        }
        Ok(times)
    }

    fn nothing(&self) -> SearchError {
        let mut reasons = self.statuses.iter().filter_map(|status| match status {
            Status::Rejected(reason) => Some(reason.clone()),
            _ => None,
        });
        match reasons.next() {
            Some(reason) => SearchError::NoneServes { tried: 1 + reasons.count(), reason },
            None => SearchError::NothingTimed,
        }
    }

    /// Lets the winner meet the default, unless the default won or cannot run. This stage is short and runs even
    /// when the search was stopped: nothing replaces the default unconfirmed.
    fn confirm(mut self, verdict: Verdict) -> Result<Outcome, SearchError> {
        let default = self.field.default;
        let (mut chosen, mut time) = (verdict.winner, self.estimate(verdict.winner));
        let mut default_time = self.estimate(default);
        if chosen != default && default_time.is_some() {
            self.surroundings.progress(Stage::Confirming, 0, 1, self.best);
            match run_off(self.bench, chosen, default, self.settings.pairs) {
                Ok(Some(run_off)) if run_off.confirmed() => {
                    (time, default_time) = (Some(run_off.challenger), Some(run_off.default));
                }
                Ok(_) => (chosen, time) = (default, default_time),
                Err((failed, Failure::Candidate(reason))) => {
                    self.statuses[failed] = Status::Rejected(reason);
                    if failed == default {
                        default_time = None;
                    } else {
                        (chosen, time) = (default, default_time);
                    }
                }
                Err((_, Failure::Device(reason))) => return Err(SearchError::Device(reason)),
            }
        }
        let Some(time) = time else { return Err(self.nothing()) };
        let mut tied = verdict.tied;
        tied.retain(|&one| one != chosen && !matches!(self.statuses[one], Status::Rejected(_)));
        tied.insert(0, chosen);
        let Self { statuses, ending, discarded, .. } = self;
        Ok(Outcome { statuses, chosen, time, default_time, tied, band: verdict.band, ending, discarded })
    }

    fn estimate(&self, candidate: usize) -> Option<Estimate> {
        match self.statuses[candidate] {
            Status::Finalist(estimate) => Some(estimate),
            _ => None,
        }
    }
}

/// What the rounds of an entrant amount to: its times but the first, which is of its screening. Where the search was stopped
/// before the first round, screening must do.
fn finalist(Entrant { candidate, times }: &Entrant) -> Option<Finalist> {
    let rounds = times.get(1..).unwrap_or_default();
    let estimate = Estimate::of(if rounds.is_empty() { times } else { rounds })?;
    Some(Finalist { candidate: *candidate, estimate, rounds: rounds.to_vec() })
}
