//! `tune`: search each workload and keep what is found.

use std::{thread, time::Instant};

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;

use super::{queue::Queue, tuner::Tuner};
use crate::{
    args::Gpus,
    book::{self, Book},
    command::{Tasks, open, tasks},
    console::Stop,
    device::Device,
    invariance::Group,
    outcome::{self, Exit},
    report::{EveryBatch, Row},
    resolve::{DeviceChoice, DeviceRequest, TuneRequest},
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
}

/// What a device found, by the place of the task, and how it ended.
type Worked = (Vec<(usize, Outcome)>, anyhow::Result<()>);

/// Tunes the request's workloads. The profile is written after each of them, so that an interruption or a failure
/// keeps all earlier ones.
pub(crate) fn tune(request: &TuneRequest, stop: &Stop) -> anyhow::Result<Exit> {
    let console = request.console;
    let devices = devices(request)?;
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
    let begun = tasks.iter().map(|task| tuners.iter().position(|tuner| tuner.has_begun(task)));
    let (queue, count) = (Queue::new(begun.collect()), tuners.len());
    let work = |number: usize, tuner: &mut Tuner<'_>, found: &mut Vec<(usize, Outcome)>| {
        while !stop.asked()
            && let Some((place, untaken)) = queue.next(number)
        {
            let task = &tasks[place];
            let outcome = tuner.tune(task, share(count, untaken + groups.len()));
            if let Some(outcome) = tuner.unless_failed(outcome, steps)? {
                tuner.tell(place, task, &outcome);
                tuner.put(task, &outcome)?;
                found.push((place, outcome));
            }
        }
        Ok(())
    };
    let worked: Vec<Worked> = thread::scope(|scope| {
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
    });

    let mut outcomes: Vec<Option<Outcome>> = tasks.iter().map(|_| None).collect();
    let mut lost = None;
    for (found, ended) in worked {
        found.into_iter().for_each(|(place, outcome)| outcomes[place] = Some(outcome));
        match (ended, lost.is_some()) {
            (Err(error), true) => eprintln!("error: {}", outcome::sentence(&error)),
            (Err(error), false) => lost = Some(error),
            (Ok(()), _) => {}
        }
    }
    if let Some(error) = lost {
        return Err(error);
    }
    let mut every_batch = Vec::with_capacity(groups.len());
    for (done, group) in groups.iter().enumerate() {
        let (Some(tuner), false) = (tuners.first_mut(), stop.asked()) else { break };
        let chosen =
            tuner.every_batch(group, &members(group, &tasks, &outcomes), share(1, groups.len() - done));
        let chosen = chosen.with_context(|| format!("workloads {}", group.task.name));
        if let Some((outcome, told)) = tuner.unless_failed(chosen, steps)?.flatten() {
            tuner.put(&group.task, &outcome)?;
            every_batch.push(told);
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

/// The devices that share the work: the one asked for, or several GPUs of one model.
fn devices(request: &TuneRequest) -> anyhow::Result<Vec<(Supervisor, Device)>> {
    let open_gpu = |gpu: u32| {
        let choice = DeviceChoice::Cuda { gpu };
        open(DeviceRequest { choice, ..request.device }, request.console)
    };
    let mut devices = match &request.gpus {
        None => return Ok(vec![open(request.device, request.console)?]),
        Some(Gpus::All) => vec![open_gpu(0)?],
        Some(Gpus::These(_)) => Vec::new(),
    };
    let others = match &request.gpus {
        Some(Gpus::These(numbers)) => numbers.clone(),
        _ => (1..devices.first().map_or(0, |(_, device)| device.gpus())).collect(),
    };
    for gpu in others {
        devices.push(open_gpu(gpu)?);
    }
    for (_, device) in &devices {
        let (_, first) = &devices[0];
        if device.id() != first.id() {
            bail!("{first} and {device} are not of one model: tune each of them by itself, with --gpu");
        }
    }
    Ok(devices)
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
