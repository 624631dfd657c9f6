//! The stages of one search.

use std::time::Duration;

use super::{
    bench::{Bench, Failure, Field, time},
    confirm::run_off,
    course::Course,
    history::History,
    statistics::{Estimate, median, spread},
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
    pub(crate) finalists: usize,
    /// Candidates within this factor of the best screened median reach the finals.
    pub(crate) reach: f64,
    /// Rounds of the finals; each finalist runs once per round.
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
    /// Its estimate over the rounds of the finals.
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
    let mut engine =
        Engine { field, bench, settings, surroundings, statuses, best: None, ending: Ending::Complete };
    engine.screen(course)?;
    let verdict = engine.finals()?;
    engine.confirm(verdict)
}

/// A finalist and its median of each round.
struct Seat {
    candidate: usize,
    rounds: Vec<f64>,
}

struct Engine<'a> {
    field: Field<'a>,
    bench: &'a mut dyn Bench,
    settings: &'a Settings,
    surroundings: &'a mut dyn Surroundings,
    statuses: Vec<Status>,
    best: Option<f64>,
    ending: Ending,
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

    /// The candidates near the best screened median, best first, and the default.
    fn finalists(&self) -> Vec<usize> {
        let Some(best) = self.best else { return Vec::new() };
        let mut near: Vec<(f64, usize)> = (self.statuses.iter().enumerate())
            .filter_map(|(index, status)| match status {
                Status::Screened(time) if *time <= best * self.settings.reach => Some((*time, index)),
                _ => None,
            })
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        near.truncate(self.settings.finalists.max(1));
        let mut finalists: Vec<usize> = near.into_iter().map(|(_, index)| index).collect();
        let default = self.field.default;
        if matches!(self.statuses[default], Status::Screened(_)) && !finalists.contains(&default) {
            finalists.push(default);
        }
        finalists
    }

    /// Rounds in which every finalist runs once, each round starting with another one.
    fn finals(&mut self) -> Result<Verdict, SearchError> {
        let mut seats: Vec<Seat> =
            self.finalists().into_iter().map(|candidate| Seat { candidate, rounds: Vec::new() }).collect();
        let total = self.settings.rounds as usize;
        for round in 0..total {
            self.surroundings.progress(Stage::Finals, round, total, self.best);
            if self.over(1.0) {
                break;
            }
            let count = seats.len();
            for turn in 0..count {
                let seat = &mut seats[(turn + round) % count];
                match time(self.bench, seat.candidate, self.settings.repetitions) {
                    Ok(times) => seat.rounds.extend(median(&times)),
                    Err(Failure::Candidate(reason)) => {
                        self.statuses[seat.candidate] = Status::Rejected(reason)
                    }
                    Err(Failure::Device(reason)) => return Err(SearchError::Device(reason)),
                }
            }
            seats.retain(|seat| !matches!(self.statuses[seat.candidate], Status::Rejected(_)));
        }
        let judged: Vec<Finalist> = seats.iter().filter_map(|seat| self.finalist(seat)).collect();
        for finalist in &judged {
            self.statuses[finalist.candidate] = Status::Finalist(finalist.estimate);
        }
        judge(self.field, &judged).ok_or_else(|| self.nothing())
    }

    /// What a seat's rounds amount to. Where the search was stopped before the first round, screening must do.
    fn finalist(&self, Seat { candidate, rounds }: &Seat) -> Option<Finalist> {
        let estimate = match self.statuses[*candidate] {
            Status::Screened(time) if rounds.is_empty() => Estimate::of(&[time]),
            _ => Estimate::of(rounds),
        }?;
        Some(Finalist { candidate: *candidate, estimate, spread: spread(rounds) })
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
        let Self { statuses, ending, .. } = self;
        Ok(Outcome { statuses, chosen, time, default_time, tied, band: verdict.band, ending })
    }

    fn estimate(&self, candidate: usize) -> Option<Estimate> {
        match self.statuses[candidate] {
            Status::Finalist(estimate) => Some(estimate),
            _ => None,
        }
    }
}
