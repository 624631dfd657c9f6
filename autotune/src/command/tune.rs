//! `tune`: search each workload and keep what is found.

use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::{
    book::{self, Book},
    command::tasks,
    console::{Stop, Watch},
    device::{self, Device},
    outcome::{self, Exit},
    report::{self, Row},
    resolve::TuneRequest,
    search::{Course, Ending, Outcome, Settings, search},
    table,
    task::Task,
};

#[derive(Serialize)]
struct Report<'a> {
    device: &'a str,
    profile: String,
    interrupted: bool,
    results: &'a [Row],
}

/// Tunes the request's workloads. The profile is written after each of them, so that an interruption or a failure
/// keeps all earlier ones.
pub(crate) fn tune(request: &TuneRequest, stop: &Stop) -> anyhow::Result<Exit> {
    let console = request.console;
    let device = device::open(request.device, console)?;
    let tasks = tasks(request, device.as_ref())?;
    let path = request.output.clone().unwrap_or_else(|| book::default_path(device.id()));
    let mut book = Book::open(path, device.provenance(), console)?;
    console.note(&format!("tuning {} for {}", device.id().name, book.path().display()));

    let start = Instant::now();
    let (mut rows, mut failed) = (Vec::new(), 0);
    for (done, task) in tasks.iter().enumerate() {
        if stop.asked() {
            break;
        }
        let left = request.budget.map(|budget| budget.saturating_sub(start.elapsed()));
        let budget = left.map(|left| left / (tasks.len() - done) as u32);
        let settings = Settings { budget, ..device.settings() };
        let near = book.nearest(&task.key).and_then(|choice| task.position(choice));
        let course = Course::new(&task.space, request.method, request.seed)
            .from(near)
            .at_most(request.trials(task.points.len()));
        match run(task, course, device.as_ref(), &settings, request, stop) {
            Ok(outcome) => {
                let row = Row::new(task, &outcome, device.as_ref());
                for rejected in &row.rejected {
                    console.note(&format!("rejected {}: {}", rejected.point, rejected.reason));
                }
                if outcome.ending == Ending::Budget && row.untried > 0 {
                    console.note(&format!(
                        "{}: the budget ended after {} of {} candidates; tune longer for a better choice",
                        row.workload,
                        row.tried,
                        row.tried + row.untried
                    ));
                }
                match report::entry(task, &outcome, device.as_ref()) {
                    Some(entry) => book.put(entry)?,
                    None => {
                        eprintln!("error: workload {}: the built-in default cannot serve it", task.name);
                        failed += 1;
                    }
                }
                rows.push(row);
            }
            // Where nothing else was asked for, nothing else is to be told.
            Err(error) if tasks.len() == 1 || device::is_lost(&error) => return Err(error),
            Err(error) => {
                eprintln!("error: {}", outcome::sentence(&error));
                failed += 1;
            }
        }
    }
    let report = Report {
        device: &device.id().name,
        profile: book.path().display().to_string(),
        interrupted: stop.asked(),
        results: &rows,
    };
    console.print_json(&report)?;
    if !rows.is_empty() {
        console.print(&table::results(&rows).to_string())?;
        console.print(&format!("profile {}", report.profile))?;
    }
    if stop.asked() {
        return Ok(Exit::Interrupted);
    }
    if failed > 0 {
        bail!("{failed} of {} workloads could not be tuned; the reasons stand above", tasks.len());
    }
    Ok(Exit::Done)
}

fn run(
    task: &Task,
    course: Course<'_>,
    device: &dyn Device,
    settings: &Settings,
    request: &TuneRequest,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    // The clock runs while inputs are made: they belong to the budget.
    let mut watch = Watch::new(request.console, &task.name, course.trials(), stop);
    let of = || format!("workload {}", task.name);
    let mut bench = device.bench(task, request.seed).with_context(of)?;
    search(task.field(), course, bench.as_mut(), settings, &mut watch).with_context(of)
}
