//! `plan`: what `tune` would do.

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::{
    book::{self, Book},
    command::{Tasks, devices::find_all, tasks},
    device::memory,
    invariance::{self, Group},
    outcome::{self, Exit},
    resolve::TuneRequest,
    table,
    task::{Task, name},
};

#[derive(Serialize)]
struct Plan {
    device: String,
    profile: String,
    exists: bool,
    tasks: Vec<PlannedTask>,
    seconds: f64,
}

#[derive(Serialize)]
struct PlannedTask {
    workload: String,
    /// The whole key; the table has the short name.
    bucket: String,
    default: String,
    candidates: usize,
    excluded: usize,
    seconds: f64,
}

/// The time in which so many devices do work of so many seconds, each piece on one of them.
fn shared(seconds: &[f64], devices: usize) -> f64 {
    let longest = seconds.iter().copied().fold(0.0, f64::max);
    longest.max(seconds.iter().sum::<f64>() / devices.max(1) as f64)
}

/// Prints where the result would go, the key of each workload, what would be tried and about how long it would take.
pub(crate) fn plan(request: &TuneRequest) -> anyhow::Result<Exit> {
    let devices = find_all(request)?;
    let Some((_, device)) = devices.first() else { bail!("--gpus all names none: there is no GPU") };
    let Tasks { tasks, groups } = tasks(request, device)?;
    let path = request.output.clone().unwrap_or_else(|| book::default_path(device.id()));
    let exists = Book::rehearse(&path, device.provenance(), request.console)?;
    let mut failed = 0;
    for task in &tasks {
        let room = memory::require(&task.problem).with_context(|| format!("workload {}", task.name));
        match room {
            Err(error) if tasks.len() == 1 => return Err(error),
            Err(error) => {
                eprintln!("error: {}", outcome::sentence(&error));
                failed += 1;
            }
            Ok(()) => {}
        }
    }
    let seconds = |task: &Task, trials: usize| device.estimate(task, trials).as_secs_f64();
    let searched = tasks.iter().map(|task| (task, seconds(task, request.trials(task.points.len()))));
    // The leading candidates of all batches are timed once more in each of them, and in the batch that stands for all.
    let every_batch = groups.iter().map(|Group { task, members }| {
        let trials = invariance::most(members.len()).min(task.points.len());
        let members = members.iter().map(|&member| seconds(&tasks[member], trials));
        (task, members.sum::<f64>() + seconds(task, trials))
    });
    let steps: Vec<(&Task, f64)> = searched.chain(every_batch).collect();
    let planned: Vec<PlannedTask> = (steps.iter())
        .map(|&(task, seconds)| PlannedTask {
            workload: task.name.clone(),
            bucket: task.key.to_string(),
            default: task.points[task.default].to_string(),
            candidates: task.points.len(),
            excluded: task.excluded.len(),
            seconds,
        })
        .collect();
    let (searched, every_batch) = planned.split_at(tasks.len());
    let seconds = |planned: &[PlannedTask]| planned.iter().map(|task| task.seconds).collect::<Vec<f64>>();
    let whole = shared(&seconds(searched), devices.len()) + shared(&seconds(every_batch), 1);
    let seconds = request.budget.map_or(whole, |budget| whole.min(budget.as_secs_f64()));
    let plan = Plan {
        device: device.id().name.clone(),
        profile: path.display().to_string(),
        exists,
        tasks: planned,
        seconds,
    };
    let state = if plan.exists { "exists; other entries in it are kept" } else { "new" };
    request.console.print(&format!("device   {}", plan.device))?;
    request.console.print(&format!("profile  {} ({state})", plan.profile))?;
    // How soon the search on a CPU discards candidates depends on the machine.
    let about = if device.id().is_gpu() { "about" } else { "at most about" };
    request.console.print(&format!("time     {about} {}", table::seconds(plan.seconds)))?;
    let mut rows = table::new(&["workload", "bucket", "default", "candidates", "excluded", "about"], 3);
    for ((task, _), planned) in steps.iter().zip(&plan.tasks) {
        rows.add_row([
            planned.workload.clone(),
            name(&task.key),
            planned.default.clone(),
            planned.candidates.to_string(),
            planned.excluded.to_string(),
            table::seconds(planned.seconds),
        ]);
    }
    request.console.print(&rows.to_string())?;
    request.console.print_json(&plan)?;
    if failed > 0 {
        bail!("{failed} of {} workloads could not be tuned; the reasons stand above", tasks.len());
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_share_the_time_but_not_a_single_search() {
        assert_eq!(shared(&[1.0, 2.0, 3.0], 1), 6.0);
        assert_eq!(shared(&[1.0, 2.0, 3.0], 2), 3.0);
        assert_eq!(shared(&[1.0, 1.0, 7.0], 2), 7.0);
        assert_eq!(shared(&[], 2), 0.0);
    }
}
