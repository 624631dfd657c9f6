//! `tune`: search each workload and keep what is found.

use std::{thread, time::Instant};

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;

use super::{devices::find_all, queue::Queue, tuner::Tuner};
use crate::{
    book::{self, Book},
    command::{Tasks, tasks},
    console::{Console, Stop},
    device::Device,
    invariance::Group,
    journal::Purpose,
    outcome::{self, Exit},
    report::{EveryBatch, Row},
    resolve::TuneRequest,
    search::Outcome,
    table,
    task::Task,
    worker::Supervisor,
};

#[derive(Serialize)]
struct Report<'a> {
    device: &'a str,
    profile: String,
    interrupted: bool,
    results: &'a [Row],
    /// One schedule for every batch, of the workloads that have such; absent unless it was asked for.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    every_batch: &'a [EveryBatch],
    /// The most bytes of a device's memory that were in use, where that is known.
    peak_memory_bytes: Option<u64>,
}

/// What a device found, by the place of the task, and how it ended.
type Worked = (Vec<(usize, Outcome)>, anyhow::Result<()>);

/// Tunes the request's workloads. The profile is written after each of them, so that an interruption or a failure
/// keeps all earlier ones.
pub(crate) fn tune(request: &TuneRequest, stop: &Stop) -> anyhow::Result<Exit> {
    let console = request.console;
    let devices = find_all(request)?;
    let Some((_, device)) = devices.first() else { bail!("--gpus all names none: there is no GPU") };
    let name = device.id().name.clone();
    let Tasks { tasks, groups } = tasks(request, device)?;
    let path = request.output.clone().unwrap_or_else(|| book::default_path(device.id()));
    let open = |(supervisor, device): (Supervisor, Device)| {
        let book = Book::open(path.clone(), device.provenance(), console)?;
        Tuner::open(device, supervisor, book, request, stop)
    };
    let mut tuners = devices.into_iter().map(open).collect::<anyhow::Result<Vec<Tuner<'_>>>>()?;
    console.note(&format!("tuning {name} for {}", path.display()));

    let (start, steps) = (Instant::now(), tasks.len() + groups.len());
    let left = || request.budget.map(|budget| budget.saturating_sub(start.elapsed()));
    // A search has its share of the time that all devices together have left.
    let share =
        |of: usize, steps: usize| left().map(|left| left * of.min(steps) as u32 / steps.max(1) as u32);
    let begun = |task| tuners.iter().position(|tuner| tuner.has_begun(task, Purpose::Bucket));
    let (queue, count) = (Queue::new(tasks.iter().map(begun).collect()), tuners.len());
    let work = |number: usize, tuner: &mut Tuner<'_>, found: &mut Vec<(usize, Outcome)>| {
        while !stop.asked()
            && let Some((place, untaken)) = queue.next(number)
        {
            let task = &tasks[place];
            let searched = tuner.tune(task, share(count, untaken + groups.len()));
            if let Some(searched) = tuner.unless_failed(searched, steps)? {
                tuner.tell(place, task, &searched);
                tuner.put(task, &searched.outcome)?;
                found.push((place, searched.outcome));
            }
        }
        Ok(())
    };

    let mut outcomes: Vec<Option<Outcome>> = tasks.iter().map(|_| None).collect();
    // What ended a device's share is told behind what the others have found.
    let (mut left_over, mut lost) = (Vec::new(), Vec::new());
    for (number, (found, ended)) in side_by_side(&mut tuners, work).into_iter().enumerate() {
        found.into_iter().for_each(|(place, outcome)| outcomes[place] = Some(outcome));
        match ended {
            Ok(()) => left_over.push(number),
            Err(error) => lost.push(error),
        }
    }
    let mut every_batch = Vec::with_capacity(groups.len());
    for (done, group) in groups.iter().enumerate() {
        let begun = |&number: &usize| {
            let knows = |task| tuners[number].has_begun(task, Purpose::EveryBatch);
            group.members.iter().any(|&member| knows(&tasks[member]))
        };
        let who = left_over.iter().copied().find(begun).or(left_over.first().copied());
        let (Some(number), false) = (who, stop.asked()) else { break };
        let tuner = &mut tuners[number];
        let chosen =
            tuner.every_batch(group, &members(group, &tasks, &outcomes), share(1, groups.len() - done));
        let chosen = chosen.with_context(|| format!("workloads {}", group.task.name));
        let put = tuner.unless_failed(chosen, steps).and_then(|chosen| {
            let Some((outcome, told)) = chosen.flatten() else { return Ok(None) };
            tuner.put(&group.task, &outcome).map(|()| Some(told))
        });
        match put {
            Ok(told) => every_batch.extend(told),
            Err(error) => {
                lost.push(error);
                left_over.retain(|&other| other != number);
            }
        }
    }
    let failed: usize = tuners.iter().map(Tuner::failed).sum();
    let mut rows: Vec<(usize, Row)> = tuners.into_iter().flat_map(Tuner::into_rows).collect();
    rows.sort_by_key(|(place, _)| *place);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    let report = Report {
        device: &name,
        profile: path.display().to_string(),
        interrupted: stop.asked(),
        results: &rows,
        every_batch: &every_batch,
        peak_memory_bytes: rows.iter().filter_map(|row| row.peak_memory_bytes).max(),
    };
    if lost.is_empty() || !rows.is_empty() {
        report.tell(console)?;
    }
    let mut lost = lost.into_iter();
    if let Some(first) = lost.next() {
        lost.for_each(|error| eprintln!("error: {}", outcome::sentence(&error)));
        return Err(first);
    }
    if stop.asked() {
        return Ok(Exit::Interrupted);
    }
    if failed > 0 {
        bail!("{failed} of {steps} workloads could not be tuned; the reasons stand above");
    }
    Ok(Exit::Done)
}

impl Report<'_> {
    /// # Errors
    /// Standard output cannot be written.
    fn tell(&self, console: Console) -> anyhow::Result<()> {
        console.print_json(self)?;
        if self.results.is_empty() {
            return Ok(());
        }
        console.print(&table::results(self.results).to_string())?;
        if !self.every_batch.is_empty() {
            console.print(&table::every_batch(self.every_batch).to_string())?;
        }
        if let Some(bytes) = self.peak_memory_bytes {
            console.print(&format!("memory  {} at its peak", table::bytes(bytes)))?;
        }
        Ok(console.print(&format!("profile {}", self.profile))?)
    }
}

/// What each tuner, on a thread of its own, found by `work`, which is told its number.
fn side_by_side<'a>(
    tuners: &mut [Tuner<'a>],
    work: impl Fn(usize, &mut Tuner<'a>, &mut Vec<(usize, Outcome)>) -> anyhow::Result<()> + Sync,
) -> Vec<Worked> {
    thread::scope(|scope| {
        let start = |(number, tuner)| {
            let work = &work;
            scope.spawn(move || {
                let mut found = Vec::new();
                let ended = work(number, tuner, &mut found);
                (found, ended)
            })
        };
        let threads: Vec<_> = tuners.iter_mut().enumerate().map(start).collect();
        let ended =
            |_| (Vec::new(), Err(anyhow!("a search ended unexpectedly; run the command with --resume")));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(ended)).collect()
    })
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
