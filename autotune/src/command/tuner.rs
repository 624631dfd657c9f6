//! One device, tuned for one workload after another.

use std::{cell::RefCell, time::Duration};

use anyhow::Context as _;
use dustin::profile::Choice;

use super::devices::occupy;
use crate::{
    book::Book,
    console::{Stop, Watch},
    device::{self, Device},
    journal::{self, Journal, Journaled, Purpose, Subject},
    lock::Lock,
    outcome,
    report::{self, Row},
    resolve::TuneRequest,
    search::{Course, Ending, Failure, Outcome, SearchError, Settings, Surroundings as _, search},
    task::Task,
    worker::Supervisor,
};

/// Points that are tried for what occupancy promises.
pub(super) const PROMISING: usize = 8;

/// What a search came to.
pub(super) struct Searched {
    pub(super) outcome: Outcome,
    /// The most bytes of the device's memory that were in use, where that is known.
    pub(super) memory: Option<u64>,
}

/// What tunes one workload after another, and what came of it.
pub(super) struct Tuner<'a> {
    pub(super) device: Device,
    supervisor: Supervisor,
    pub(super) request: &'a TuneRequest,
    pub(super) stop: &'a Stop,
    book: Book,
    journal: RefCell<Journal>,
    /// What was told, by the place of the task.
    rows: Vec<(usize, Row)>,
    failed: usize,
    /// Released behind the rest.
    _lock: Lock,
}

impl<'a> Tuner<'a> {
    /// Has `device`, which `supervisor` serves, for itself, and opens its journal.
    ///
    /// # Errors
    /// Others compute on the device, or measure it; the journal cannot be written, or others write it.
    pub(super) fn open(
        device: Device,
        supervisor: Supervisor,
        book: Book,
        request: &'a TuneRequest,
        stop: &'a Stop,
    ) -> anyhow::Result<Self> {
        let lock = occupy(&supervisor, &device, request.device, request.console, stop)?;
        let (journal, remarks) = Journal::open(journal::path(book.path(), &device), request.resume)?;
        for remark in remarks {
            request.console.note(&remark);
        }
        let (journal, rows) = (RefCell::new(journal), Vec::new());
        Ok(Self { device, supervisor, request, stop, book, journal, rows, failed: 0, _lock: lock })
    }

    /// Whether the run that is resumed has begun with `task`, for that purpose, on this device.
    pub(super) fn has_begun(&self, task: &Task, purpose: Purpose) -> bool {
        self.journal.borrow().knows(&self.subject(task, purpose))
    }

    /// Tasks that failed.
    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// What was told, by the place of the task.
    pub(super) fn into_rows(self) -> Vec<(usize, Row)> {
        self.rows
    }

    fn subject(&self, task: &Task, purpose: Purpose) -> Subject {
        Subject { purpose, ..Subject::new(self.device.provenance(), &task.key, self.request.seed) }
    }

    /// Tells an error, unless nothing else of the `steps` can succeed or is to be told.
    ///
    /// # Errors
    /// That error.
    pub(super) fn unless_failed<T>(
        &mut self,
        result: anyhow::Result<T>,
        steps: usize,
    ) -> anyhow::Result<Option<T>> {
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
    pub(super) fn tune(&self, task: &Task, budget: Option<Duration>) -> anyhow::Result<Searched> {
        let Self { device, request, .. } = self;
        let settings = Settings { budget, ..device.settings() };
        let course =
            Course::new(&task.space, request.method, request.seed).at_most(request.trials(task.points.len()));
        self.search(task, Purpose::Bucket, course, self.book.nearest(&task.key), &settings)
    }

    /// Remarks who was rejected in a search, and what was wrong with the device meanwhile.
    pub(super) fn remark(&self, row: &Row) {
        let console = self.request.console;
        for rejected in &row.rejected {
            console.note(&format!("rejected {}: {}", rejected.point, rejected.reason));
        }
        for reason in &row.discarded_rounds {
            console.note(&format!("{}: a round was repeated, since {reason}", row.workload));
        }
        if let Some(reason) = row.unsteady_rounds.first() {
            let (workload, count) = (&row.workload, row.unsteady_rounds.len());
            console
                .note(&format!("{workload}: {count} rounds count although {reason}: its interval is wide"));
        }
    }

    /// Tells what the search of the task at `place` came to.
    pub(super) fn tell(&mut self, place: usize, task: &Task, searched: &Searched) {
        let Searched { outcome, memory } = searched;
        let row = Row { peak_memory_bytes: *memory, ..Row::new(task, outcome, &self.device) };
        let console = self.request.console;
        self.remark(&row);
        if outcome.ending == Ending::Budget && row.untried > 0 {
            console.note(&format!(
                "{}: the budget ended after {} of {} candidates; tune longer for a better choice",
                row.workload,
                row.tried,
                row.tried + row.untried
            ));
        }
        self.rows.push((place, row));
    }

    /// Puts a choice into the profile.
    ///
    /// # Errors
    /// The profile cannot be written.
    pub(super) fn put(&mut self, task: &Task, outcome: &Outcome) -> anyhow::Result<()> {
        match report::entry(task, outcome, &self.device) {
            Some(entry) => self.book.put(entry)?,
            None => {
                eprintln!("error: workload {}: the built-in default cannot serve it", task.name);
                self.failed += 1;
            }
        }
        Ok(())
    }

    /// Searches `task` for `purpose` on `course`, which begins with the choice that was the nearest one when the search first
    /// began, and goes on with the points that promise most.
    pub(super) fn search(
        &self,
        task: &Task,
        purpose: Purpose,
        course: Course<'_>,
        nearest: Option<&Choice>,
        settings: &Settings,
    ) -> anyhow::Result<Searched> {
        let Self { device, supervisor, request, stop, .. } = self;
        let of = || format!("workload {}", task.name);
        let sitting = self.journal.borrow_mut().sit(self.subject(task, purpose), nearest.cloned())?;
        let known = sitting.memory;
        // A choice that stands in the profile is not replaced by a search that did not try it.
        let course = course
            .certainly(sitting.near.as_ref().and_then(|choice| task.position(choice)))
            .from(task.promising().iter().copied().take(PROMISING));
        // The clock runs while inputs are made: they belong to the budget.
        let mut watch = Watch::new(request.console, &task.name, course.trials(), stop);
        // What the search before left counts for itself.
        supervisor.take_memory();
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
            let (seconds, memory) = (watch.elapsed().as_secs_f64(), known.max(supervisor.take_memory()));
            let noted = bench.choose(found.chosen, found.time.median, seconds, memory);
            noted.map_err(|failure| SearchError::Device(failure.to_string()))?;
            Ok(Searched { outcome: found, memory })
        });
        drop(bench);
        // Why the problem could not be prepared is better told by whoever was to do it.
        match (found, refused) {
            (Err(_), Some(refused)) => Err(refused).with_context(of),
            (found, _) => found.with_context(of),
        }
    }
}
