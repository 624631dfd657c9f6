//! The part of `tune` that chooses one schedule for every batch.

use std::time::{Duration, Instant};

use super::tuner::{Searched, Tuner};
use crate::{
    invariance::{self, Batch, Group, NoChoice},
    journal::Purpose,
    report::{BatchCost, EveryBatch, Row},
    search::{Confirmed, Course, Ending, MethodKind, Outcome, Settings, Status},
    task::Task,
};

impl Tuner<'_> {
    /// Chooses for `group` among the schedules that the searches of its batches left. `members` are those batches that
    /// have a result. Nothing if the user stops it.
    ///
    /// # Errors
    /// There is no choice; the device cannot hold or run the problem.
    pub(super) fn every_batch(
        &self,
        group: &Group,
        members: &[(&Task, &Outcome)],
        budget: Option<Duration>,
    ) -> anyhow::Result<Option<(Outcome, EveryBatch)>> {
        let (start, whole) = (Instant::now(), &group.task);
        if members.len() < 2 {
            return Err(NoChoice::Alone.into());
        }
        // A step for each batch, and one for the batch that stands for all of them.
        let part = |done: usize| {
            let left = budget.map(|budget| budget.saturating_sub(start.elapsed()));
            left.map(|left| left / (members.len() + 1 - done) as u32)
        };
        let screened: Vec<Batch> =
            members.iter().map(|(task, outcome)| invariance::measured(whole, task, outcome)).collect();
        let shortlist = invariance::shortlist(whole.default, &screened);
        let mut timed = Vec::with_capacity(members.len());
        for (done, (task, found)) in members.iter().enumerate() {
            let known = shortlist.iter().filter_map(|&schedule| invariance::position(whole, task, schedule));
            let outcome = self.side_by_side(task, known.chain([found.chosen]), part(done))?;
            if self.stop.asked() {
                return Ok(None);
            }
            timed.push((invariance::measured(whole, task, &outcome), outcome));
        }
        let batches: Vec<Batch> = timed.iter().map(|(batch, _)| batch.clone()).collect();
        let tied = invariance::choose(whole.field(), &batches);

        // What the profile will hold is what `verify` can measure again: times of the batch that stands for all.
        let outcome = self.side_by_side(whole, tied.iter().copied(), part(members.len()))?;
        if self.stop.asked() {
            return Ok(None);
        }
        let outcome = chosen(outcome, tied, whole.default)?;
        let costs = members.iter().zip(&timed).filter_map(|((task, _), (batch, timed))| {
            Some(BatchCost::new(task, batch.times[outcome.chosen]?, timed.fastest()?))
        });
        let told = EveryBatch::new(whole, &outcome, costs.collect());
        Ok(Some((outcome, told)))
    }

    /// Checks `points` of `task` and its default, and times all of them in turns.
    fn side_by_side(
        &self,
        task: &Task,
        points: impl Iterator<Item = usize>,
        budget: Option<Duration>,
    ) -> anyhow::Result<Outcome> {
        let mut all: Vec<usize> = points.chain([task.default]).collect();
        all.sort_unstable();
        all.dedup();
        // None is hopeless, none too many, and none is left behind: how slow each of them is, is the question.
        let settings = Settings {
            budget,
            prune: f64::INFINITY,
            reach: f64::INFINITY,
            entrants: usize::MAX,
            band: f64::INFINITY,
            pairs: 0,
            confirmed: Confirmed::Finalists,
            ..self.device.settings()
        };
        let wanted = all.len();
        let course =
            Course::new(&task.space, MethodKind::Random, self.request.seed).from(all).at_most(wanted);
        let Searched { outcome, .. } = self.search(task, Purpose::EveryBatch, course, None, &settings)?;
        self.remark(&Row::new(task, &outcome, &self.device));
        let tried = outcome.statuses.iter().filter(|status| **status != Status::Untried).count();
        if outcome.ending == Ending::Budget && tried < wanted {
            self.request.console.note(&format!(
                "{}: the budget ended after {tried} of the {wanted} leading candidates of its batches",
                task.name
            ));
        }
        Ok(outcome)
    }
}

/// `outcome` with the first of `tied` that serves as its choice.
fn chosen(outcome: Outcome, mut tied: Vec<usize>, default: usize) -> Result<Outcome, NoChoice> {
    let time = |schedule: usize| match outcome.statuses[schedule] {
        Status::Finalist(time) => Some(time),
        _ => None,
    };
    tied.retain(|&schedule| time(schedule).is_some());
    let (chosen, found) =
        tied.first().and_then(|&first| Some((first, time(first)?))).ok_or(NoChoice::NothingInCommon)?;
    Ok(Outcome { chosen, time: found, default_time: time(default), tied, ..outcome })
}
