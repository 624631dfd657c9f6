//! The stages of one search.

use std::time::Duration;

use super::{
    bench::{Bench, Failure, Field, time},
    conditions::Steadiness,
    confirm::run_off,
    course::Course,
    history::History,
    outcome::{Ending, Outcome, SearchError, Status},
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
    /// Who is confirmed as it is timed.
    pub(crate) confirmed: Confirmed,
}

/// Who is confirmed as it is timed, by [`Bench::confirm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// The choice, and the default that it is compared with.
    Choice,
    /// Everyone in the finals: whoever asks chooses among them.
    Finalists,
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
    let confirmed = vec![false; field.candidates.len()];
    let (best, ending, steadiness) = (None, Ending::Complete, Steadiness::default());
    let mut engine =
        Engine { field, bench, settings, surroundings, statuses, confirmed, best, ending, steadiness };
    engine.screen(course)?;
    engine.choose()
}

struct Engine<'a> {
    field: Field<'a>,
    bench: &'a mut dyn Bench,
    settings: &'a Settings,
    surroundings: &'a mut dyn Surroundings,
    statuses: Vec<Status>,
    /// Who was right as it is timed.
    confirmed: Vec<bool>,
    best: Option<f64>,
    ending: Ending,
    steadiness: Steadiness,
}

/// The choice and its time, and that of the default, if that runs.
struct Chosen {
    candidate: usize,
    time: Estimate,
    default_time: Option<Estimate>,
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

    /// Successive halving and the race behind it, among those whose time so far comes near the best, and the default.
    ///
    /// # Errors
    /// Nobody runs; nothing more can be measured.
    fn finals(&mut self) -> Result<Verdict, SearchError> {
        let Settings { entrants, reach, finalists, band, rounds, .. } = *self.settings;
        // The median so far counts as a launch, since it decides who is ahead until there are rounds.
        let launches = rounds as usize + 1;
        let stays = Some(self.field.default);
        let race = Race { entrants: entrants.max(1), reach, finalists, launches, band, stays };
        let known =
            |(candidate, status): (usize, &Status)| Some(Entrant { candidate, times: vec![status.time()?] });
        let known = self.statuses.iter().enumerate().filter_map(known).collect();
        let (mut done, mut lost) = (0, None);
        let finish = race.run(known, &mut |candidates| {
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
                if self.steadiness.counts(self.bench.conditions()) {
                    return Some(times);
                }
            }
        });
        if let Some(reason) = lost {
            return Err(SearchError::Device(reason));
        }
        let steady = self.steadiness.unsteady().is_empty();
        let mut told = |entrants: &[Entrant]| -> Vec<Finalist> {
            let mut found: Vec<Finalist> = entrants.iter().filter_map(|one| finalist(one, steady)).collect();
            for Finalist { candidate, estimate, rounds } in &mut found {
                match self.statuses[*candidate] {
                    // What earlier finals said, if these were stopped before their first round.
                    Status::Finalist(known) if rounds.is_empty() => *estimate = known,
                    _ => self.statuses[*candidate] = Status::Finalist(*estimate),
                }
            }
            found
        };
        told(&finish.behind);
        let ahead = told(&finish.ahead);
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

    /// Holds the finals, has everyone whose time will count confirmed, and the winner meet the default. Whoever fails is rejected,
    /// and the finals are those of the others: some may have been left out because of the one that failed. Confirming is short
    /// and is done even when the search was stopped: nothing replaces the default unconfirmed.
    fn choose(mut self) -> Result<Outcome, SearchError> {
        self.steadiness = Steadiness::new(self.bench.conditions());
        loop {
            let verdict = self.finals()?;
            self.surroundings.progress(Stage::Confirming, 0, 1, self.best);
            match self.confirm_all(verdict.winner).and_then(|()| self.meet_default(verdict.winner)) {
                Ok(Some(chosen)) => return Ok(self.outcome(verdict, chosen)),
                Ok(None) => return Err(self.nothing()),
                Err((failed, Failure::Candidate(reason))) => self.statuses[failed] = Status::Rejected(reason),
                Err((_, Failure::Device(reason))) => return Err(SearchError::Device(reason)),
            }
        }
    }

    /// Confirms the winner and the default, or all finalists, unless that was done.
    ///
    /// # Errors
    /// Who failed, and why.
    fn confirm_all(&mut self, winner: usize) -> Result<(), (usize, Failure)> {
        let all = self.settings.confirmed == Confirmed::Finalists;
        for candidate in 0..self.statuses.len() {
            let counts = all || candidate == winner || candidate == self.field.default;
            if counts && self.estimate(candidate).is_some() && !self.confirmed[candidate] {
                self.bench.confirm(candidate).map_err(|failure| (candidate, failure))?;
                self.confirmed[candidate] = true;
            }
        }
        Ok(())
    }

    /// Lets the winner meet the default, unless it is the default, or that cannot run.
    ///
    /// # Errors
    /// Who failed, and why.
    fn meet_default(&mut self, winner: usize) -> Result<Option<Chosen>, (usize, Failure)> {
        let default = self.field.default;
        let default_time = self.estimate(default);
        let won = self.estimate(winner).map(|time| Chosen { candidate: winner, time, default_time });
        let Some(defended) = default_time.filter(|_| winner != default) else { return Ok(won) };
        let met = run_off(self.bench, winner, default, self.settings.pairs, &mut self.steadiness)?;
        Ok(Some(match met {
            Some(met) if met.confirmed() => {
                Chosen { candidate: winner, time: met.challenger, default_time: Some(met.default) }
            }
            _ => Chosen { candidate: default, time: defended, default_time },
        }))
    }

    fn outcome(self, Verdict { mut tied, band, .. }: Verdict, chosen: Chosen) -> Outcome {
        let Chosen { candidate: chosen, time, default_time } = chosen;
        tied.retain(|&one| one != chosen);
        tied.insert(0, chosen);
        let Self { statuses, ending, steadiness, .. } = self;
        let (discarded, unsteady) = steadiness.into_objections();
        Outcome { statuses, chosen, time, default_time, tied, band, ending, discarded, unsteady }
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
fn finalist(Entrant { candidate, times }: &Entrant, steady: bool) -> Option<Finalist> {
    let rounds = times.get(1..).unwrap_or_default();
    let estimate = Estimate::told(if rounds.is_empty() { times } else { rounds }, steady)?;
    Some(Finalist { candidate: *candidate, estimate, rounds: rounds.to_vec() })
}
