//! The subcommands, one file each.

mod plan;
mod replay;
mod show;
mod tune;
mod verify;
mod workloads;

pub(crate) use plan::plan;
pub(crate) use replay::replay;
pub(crate) use show::show;
pub(crate) use tune::tune;
pub(crate) use verify::verify;
pub(crate) use workloads::list_workloads;

use std::collections::HashSet;

use dustin_autotune::workload::{self, Workload};

use crate::{device::Device, resolve::TuneRequest, task::Task};

/// The tasks that a request amounts to on `device`: one for each bucket.
fn tasks(request: &TuneRequest, device: &dyn Device) -> anyhow::Result<Vec<Task>> {
    let workloads: Vec<Workload> = match &request.workloads {
        Some(workloads) => workloads.clone(),
        None => workload::defaults(device.id().is_gpu())?,
    };
    let mut seen = HashSet::new();
    let mut tasks = Vec::with_capacity(workloads.len());
    for workload in &workloads {
        let task = Task::new(workload, device)?;
        if seen.insert(task.key.clone()) {
            tasks.push(task);
        }
    }
    Ok(tasks)
}
