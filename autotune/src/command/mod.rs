//! The subcommands, one file each.

mod audit;
mod completions;
mod devices;
mod diff;
mod every_batch;
mod explain;
mod gpus;
mod heads;
mod man;
mod merge;
mod plan;
mod queue;
mod replay;
mod report;
mod show;
mod tune;
mod tuner;
mod verify;
mod workloads;

pub(crate) use audit::audit;
pub(crate) use completions::completions;
pub(crate) use diff::diff;
pub(crate) use explain::explain;
pub(crate) use gpus::gpus;
pub(crate) use heads::heads;
pub(crate) use man::man;
pub(crate) use merge::merge;
pub(crate) use plan::plan;
pub(crate) use replay::replay;
pub(crate) use report::report;
pub(crate) use show::show;
pub(crate) use tune::tune;
pub(crate) use verify::verify;
pub(crate) use workloads::list_workloads;

use std::collections::HashSet;

use dustin_autotune::workload::{self, Workload};

use crate::{
    device::Device,
    invariance::{self, Group},
    resolve::TuneRequest,
    task::Task,
};

/// What a request amounts to on a device.
struct Tasks {
    /// One for each bucket.
    tasks: Vec<Task>,
    /// Those for which one schedule is chosen for every batch.
    groups: Vec<Group>,
}

/// The tasks that a request amounts to on `device`.
fn tasks(request: &TuneRequest, device: &Device) -> anyhow::Result<Tasks> {
    let asked: Vec<Workload> = match &request.workloads {
        Some(workloads) => workloads.clone(),
        None => workload::defaults(device.id().is_gpu())?,
    };
    let mut seen = HashSet::new();
    let (mut workloads, mut tasks) = (Vec::with_capacity(asked.len()), Vec::with_capacity(asked.len()));
    for workload in asked {
        let task = Task::new(&workload, device)?;
        if seen.insert(task.key.clone()) {
            workloads.push(workload);
            tasks.push(task);
        }
    }
    let groups =
        if request.batch_invariant { invariance::groups(&workloads, &tasks, device)? } else { Vec::new() };
    Ok(Tasks { tasks, groups })
}
