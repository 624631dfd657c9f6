//! `explain`: what serves a workload, and why it and nothing else.

mod answer;
mod rule;
mod space;
mod tell;

use std::path::PathBuf;

use anyhow::Context as _;
use dustin::profile::{Key, Tuned};
use dustin_autotune::workload::{self, Workload};
use serde::Serialize;

use self::{
    answer::{Answer, Entries},
    space::Space,
};
use crate::{
    book,
    command::devices::find,
    device::Device,
    outcome::Exit,
    resolve::{DeviceChoice, ExplainRequest},
    task::Task,
};

#[derive(Serialize)]
struct Report {
    device: String,
    /// Whether it is known from a profile alone.
    described: bool,
    /// The profiles that were asked.
    profiles: Vec<String>,
    /// What of them is not used, and why.
    warnings: Vec<String>,
    workloads: Vec<Explained>,
}

#[derive(Serialize)]
struct Explained {
    workload: String,
    shape: String,
    /// The bucket, in words.
    bucket: String,
    key: Key,
    /// What serves it.
    answer: Answer,
    /// What would serve it without a profile.
    default: Default,
    space: Space,
}

/// The choice of a build without a profile.
#[derive(Serialize)]
struct Default {
    chosen: String,
    rule: &'static str,
}

/// Explains each workload.
pub(crate) fn explain(request: &ExplainRequest) -> anyhow::Result<Exit> {
    let console = request.console;
    let mut entries = Entries::default();
    for path in &request.profiles {
        entries.read(path, console)?;
    }
    let described =
        entries.provenance().filter(|_| matches!(request.device.choice, DeviceChoice::Auto { .. }));
    let is_described = described.is_some();
    let device = match described {
        Some(provenance) => Device::described(provenance).with_context(|| {
            format!("{} does not tell enough of its device", request.profiles[0].display())
        })?,
        None => find(request.device, console)?.1,
    };
    let own: PathBuf = book::default_path(device.id());
    if request.profiles.is_empty() && own.exists() {
        entries.read(&own, console)?;
    }
    let asked: Vec<Workload> = match &request.workloads {
        Some(workloads) => workloads.clone(),
        None => workload::defaults(device.id().is_gpu())?,
    };
    let tuned = Tuned::new(entries.all(), device.catalogue());
    let explained = asked.iter().map(|workload| {
        let task = Task::new(workload, &device)?;
        Ok(Explained {
            workload: workload.name.clone(),
            shape: workload.describe(),
            bucket: crate::task::name(&task.key),
            answer: Answer::new(&task.key, &tuned, &entries)?,
            default: Default { chosen: task.points[task.default].to_string(), rule: rule::of(&task.key) },
            space: Space::new(&task),
            key: task.key,
        })
    });
    let workloads = explained.collect::<anyhow::Result<Vec<Explained>>>()?;
    let report = Report {
        device: device.id().name.clone(),
        described: is_described,
        profiles: entries.paths(),
        warnings: tuned.warnings().iter().map(ToString::to_string).collect(),
        workloads,
    };
    tell::tell(&report, console)?;
    console.print_json(&report)?;
    Ok(Exit::Done)
}
