//! Timing the problems.

use anyhow::Context as _;
use dustin::profile::Found;

use super::line::{Line, Verdict};
use crate::{
    command::tuner::PROMISING,
    console::{Stop, Watch},
    device::Device,
    resolve::AuditRequest,
    search::{
        Bench, Course, Failure, Field, MethodKind, SearchError, Settings, Status, Steadiness, run_off, search,
    },
    task::Task,
    worker::Supervisor,
};

/// What times the problems.
pub(super) struct Auditor<'a> {
    pub(super) request: &'a AuditRequest,
    pub(super) stop: &'a Stop,
    pub(super) device: &'a Device,
    pub(super) supervisor: &'a Supervisor,
}

impl Auditor<'_> {
    /// # Errors
    /// The device cannot hold the problem, or is lost.
    pub(super) fn line(&self, whole: &Task, found: &Found) -> anyhow::Result<Line> {
        let default = &whole.points[whole.default].choice;
        let same = whole.position(&found.choice) == Some(whole.default);
        if same && self.request.trials == 0 {
            return Ok(Line::new(whole, found, Verdict::Default));
        }
        let pair;
        let task = if self.request.trials == 0 {
            pair = whole.pair(default, &found.choice);
            &pair
        } else {
            whole
        };
        let chosen = task.position(&found.choice).context("the choice is no point of the space")?;
        let mut bench = self.supervisor.bench(self.device, task, self.request.seed)?;
        let mut line = Line::new(whole, found, Verdict::Default);
        if self.request.trials > 0 {
            self.search(task, chosen, &mut bench, &mut line)?;
        }
        if !same && line.verdict != Verdict::Wrong {
            self.compare(task.field(), chosen, &mut bench, &mut line)?;
        }
        Ok(line)
    }

    /// The choice against the default, in pairs.
    fn compare(
        &self,
        field: Field<'_>,
        chosen: usize,
        bench: &mut dyn Bench,
        line: &mut Line,
    ) -> Result<(), SearchError> {
        let mut steadiness = Steadiness::new(bench.conditions());
        let mut compared = || {
            for candidate in [field.default, chosen] {
                bench.check(candidate).map_err(|failure| (candidate, failure))?;
                bench.confirm(candidate).map_err(|failure| (candidate, failure))?;
            }
            run_off(bench, chosen, field.default, self.device.settings().pairs, &mut steadiness)
        };
        match compared() {
            Ok(Some(run_off)) => {
                line.compared(&run_off);
                if let Some(reason) = steadiness.unsteady().first() {
                    line.remark = format!("{} pairs count although {reason}", steadiness.unsteady().len());
                }
            }
            Ok(None) => (line.verdict, line.remark) = (Verdict::Unchecked, "it gave no times".into()),
            Err((failed, Failure::Candidate(reason))) if failed == chosen => {
                (line.verdict, line.remark) = (Verdict::Wrong, reason);
            }
            Err((_, Failure::Candidate(reason))) => {
                (line.verdict, line.remark) = (Verdict::Unchecked, format!("the default fails: {reason}"));
            }
            Err((_, Failure::Device(reason))) => return Err(SearchError::Device(reason)),
        }
        Ok(())
    }

    /// What the choice loses to whoever a search finds in which it stands for the default: it is replaced only by who is faster in
    /// pairs with it.
    fn search(
        &self,
        task: &Task,
        chosen: usize,
        bench: &mut dyn Bench,
        line: &mut Line,
    ) -> Result<(), SearchError> {
        // However slow the choice is, that is the question.
        let settings = Settings { reach: f64::INFINITY, ..self.device.settings() };
        let course = Course::new(&task.space, MethodKind::Surrogate, self.request.seed)
            .from([task.default])
            .from(task.promising().iter().copied().take(PROMISING))
            .at_most(self.request.trials);
        let mut watch = Watch::new(self.request.console, "searching", course.trials(), self.stop);
        let field = Field { default: chosen, ..task.field() };
        let outcome = search(field, course, bench, &settings, &mut watch)?;
        if let Status::Rejected(reason) = &outcome.statuses[chosen] {
            (line.verdict, line.remark) = (Verdict::Wrong, reason.clone());
        }
        let Some(own) = outcome.default_time else { return Ok(()) };
        let regret = own.median / outcome.time.median - 1.0;
        if outcome.chosen == chosen || regret <= 0.0 {
            line.regret = Some(0.0);
        } else {
            line.regret = Some(regret);
            line.fastest = Some(task.points[outcome.chosen].to_string());
        }
        Ok(())
    }
}
