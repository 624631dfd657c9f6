//! `tune`: search each workload and keep what is found.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use dustin::profile::Choice;
use serde::Serialize;

use crate::{
    book::{self, Book},
    command::{Tasks, open, tasks},
    console::{Stop, Watch},
    device::{self, Device},
    invariance::Group,
    journal::{self, Journal, Journaled, Subject},
    lock::Lock,
    outcome::{self, Exit},
    report::{self, EveryBatch, Row},
    resolve::TuneRequest,
    search::{Course, Ending, Failure, Outcome, SearchError, Settings, Surroundings as _, search},
    table,
    task::Task,
    worker::Supervisor,
};

/// Points that are tried for what occupancy promises.
const PROMISING: usize = 8;

#[derive(Serialize)]
struct Report<'a> {
    device: &'a str,
    profile: String,
    interrupted: bool,
    results: &'a [Row],
    /// One schedule for every batch, of the workloads that have such; absent unless it was asked for.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    every_batch: &'a [EveryBatch],
}

/// What tunes one workload after another, and what came of it.
pub(super) struct Tuner<'a> {
    pub(super) device: &'a Device,
    supervisor: &'a Supervisor,
    pub(super) request: &'a TuneRequest,
    pub(super) stop: &'a Stop,
    book: Book,
    journal: RefCell<Journal>,
    rows: Vec<Row>,
    failed: usize,
}

/// Tunes the request's workloads. The profile is written after each of them, so that an interruption or a failure
/// keeps all earlier ones.
pub(crate) fn tune(request: &TuneRequest, stop: &Stop) -> anyhow::Result<Exit> {
    let console = request.console;
    let (supervisor, device) = open(request.device, console)?;
    let Tasks { tasks, groups } = tasks(request, &device)?;
    let path = request.output.clone().unwrap_or_else(|| book::default_path(device.id()));
    let book = Book::open(path, device.provenance(), console)?;
    if let Some(warning) = device.require_alone(request.device.shared)? {
        console.note(&warning);
    }
    let _lock = Lock::take(&device, request.device.wait, stop)?;
    let (journal, remarks) = Journal::open(journal::path(book.path(), &device), request.resume)?;
    for remark in remarks {
        console.note(&remark);
    }
    console.note(&format!("tuning {} for {}", device.id().name, book.path().display()));

    let (start, steps) = (Instant::now(), tasks.len() + groups.len());
    let part = |done: usize| {
        let left = request.budget.map(|budget| budget.saturating_sub(start.elapsed()));
        left.map(|left| left / (steps - done) as u32)
    };
    let mut tuner = Tuner {
        device: &device,
        supervisor: &supervisor,
        request,
        stop,
        book,
        journal: RefCell::new(journal),
        rows: Vec::new(),
        failed: 0,
    };
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(tasks.len());
    for (done, task) in tasks.iter().enumerate() {
        if stop.asked() {
            break;
        }
        let outcome = tuner.tune(task, part(done));
        let outcome = tuner.unless_failed(outcome, steps)?;
        if let Some(outcome) = &outcome {
            tuner.tell(task, outcome);
            tuner.put(task, outcome)?;
        }
        outcomes.push(outcome);
    }
    let mut every_batch = Vec::with_capacity(groups.len());
    for (done, group) in groups.iter().enumerate() {
        if stop.asked() {
            break;
        }
        let chosen = tuner.every_batch(group, &members(group, &tasks, &outcomes), part(tasks.len() + done));
        let chosen = chosen.with_context(|| format!("workloads {}", group.task.name));
        if let Some((outcome, told)) = tuner.unless_failed(chosen, steps)?.flatten() {
            tuner.put(&group.task, &outcome)?;
            every_batch.push(told);
        }
    }
    let Tuner { book, rows, failed, .. } = tuner;
    let report = Report {
        device: &device.id().name,
        profile: book.path().display().to_string(),
        interrupted: stop.asked(),
        results: &rows,
        every_batch: &every_batch,
    };
    console.print_json(&report)?;
    if !rows.is_empty() {
        console.print(&table::results(&rows).to_string())?;
        if !every_batch.is_empty() {
            console.print(&table::every_batch(&every_batch).to_string())?;
        }
        console.print(&format!("profile {}", report.profile))?;
    }
    if stop.asked() {
        return Ok(Exit::Interrupted);
    }
    if failed > 0 {
        bail!("{failed} of {steps} workloads could not be tuned; the reasons stand above");
    }
    Ok(Exit::Done)
}

/// The batches of `group` that have a result.
fn members<'a>(
    group: &Group,
    tasks: &'a [Task],
    outcomes: &'a [Option<Outcome>],
) -> Vec<(&'a Task, &'a Outcome)> {
    let found = |&member: &usize| Some((&tasks[member], outcomes.get(member)?.as_ref()?));
    group.members.iter().filter_map(found).collect()
}

impl Tuner<'_> {
    /// Tells an error, unless nothing else of the `steps` can succeed or is to be told.
    ///
    /// # Errors
    /// That error.
    fn unless_failed<T>(&mut self, result: anyhow::Result<T>, steps: usize) -> anyhow::Result<Option<T>> {
        match result {
            Ok(result) => Ok(Some(result)),
            Err(error) if steps == 1 || device::is_lost(&error) => Err(error),
            Err(error) => {
                eprintln!("error: {}", outcome::sentence(&error));
                self.failed += 1;
                Ok(None)
            }
        }
    }

    /// Searches the space of `task`.
    fn tune(&self, task: &Task, budget: Option<Duration>) -> anyhow::Result<Outcome> {
        let Self { device, request, .. } = *self;
        let settings = Settings { budget, ..device.settings() };
        let course =
            Course::new(&task.space, request.method, request.seed).at_most(request.trials(task.points.len()));
        self.search(task, course, self.book.nearest(&task.key), &settings)
    }

    /// Tells what a search came to.
    fn tell(&mut self, task: &Task, outcome: &Outcome) {
        let row = Row::new(task, outcome, self.device);
        let console = self.request.console;
        for rejected in &row.rejected {
            console.note(&format!("rejected {}: {}", rejected.point, rejected.reason));
        }
        for reason in &row.discarded_rounds {
            console.note(&format!("{}: a round was repeated, since {reason}", row.workload));
        }
        if outcome.ending == Ending::Budget && row.untried > 0 {
            console.note(&format!(
                "{}: the budget ended after {} of {} candidates; tune longer for a better choice",
                row.workload,
                row.tried,
                row.tried + row.untried
            ));
        }
        self.rows.push(row);
    }

    /// Puts a choice into the profile.
    ///
    /// # Errors
    /// The profile cannot be written.
    fn put(&mut self, task: &Task, outcome: &Outcome) -> anyhow::Result<()> {
        match report::entry(task, outcome, self.device) {
            Some(entry) => self.book.put(entry)?,
            None => {
                eprintln!("error: workload {}: the built-in default cannot serve it", task.name);
                self.failed += 1;
            }
        }
        Ok(())
    }

    /// Searches `task` on `course`, which begins with the choice that was the nearest one when the search first began, and goes on
    /// with the points that promise most.
    pub(super) fn search(
        &self,
        task: &Task,
        course: Course<'_>,
        nearest: Option<&Choice>,
        settings: &Settings,
    ) -> anyhow::Result<Outcome> {
        let Self { device, supervisor, request, stop, .. } = *self;
        // The clock runs while inputs are made: they belong to the budget.
        let mut watch = Watch::new(request.console, &task.name, course.trials(), stop);
        let of = || format!("workload {}", task.name);
        let subject = Subject::new(device.provenance(), &task.key, request.seed);
        let sitting = self.journal.borrow_mut().sit(subject, nearest.cloned())?;
        let course = course
            .from(sitting.near.as_ref().and_then(|choice| task.position(choice)))
            .from(task.promising().iter().copied().take(PROMISING));
        let mut refused = None;
        let prepare = || {
            supervisor.bench(device, task, request.seed).map_err(|error| {
                let reason = outcome::sentence(&error);
                refused = Some(error);
                Failure::Device(reason)
            })
        };
        let mut bench = Journaled::new(&self.journal, sitting, &task.points, prepare);
        let found = search(task.field(), course, &mut bench, settings, &mut watch).and_then(|found| {
            let seconds = watch.elapsed().as_secs_f64();
            let noted = bench.choose(found.chosen, found.time.median, seconds);
            noted.map_err(|failure| SearchError::Device(failure.to_string()))?;
            Ok(found)
        });
        drop(bench);
        // Why the problem could not be prepared is better told by whoever was to do it.
        match (found, refused) {
            (Err(_), Some(refused)) => Err(refused).with_context(of),
            (found, _) => found.with_context(of),
        }
    }
}
