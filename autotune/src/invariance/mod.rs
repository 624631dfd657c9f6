//! One schedule for every batch: a sequence's bits then do not depend on the batch that it is in.
//!
//! Variants and splits decide in which order a sequence's terms are added, so the choice must be one for all batches, and each
//! batch pays for it: it cannot have the schedule that is best for it alone.

mod choice;

use dustin::profile::KernelKey;
use dustin_autotune::workload::{AttentionShape, Shape, Workload};

pub(crate) use self::choice::{Batch, choose, most, shortlist};
use crate::{device::Device, outcome::Usage, search::Outcome, task::Task};

/// Tasks that differ only in their batch, and what is chosen for all of them.
#[derive(Debug)]
pub(crate) struct Group {
    /// The bucket of every batch. Its points are the schedules to choose from.
    pub(crate) task: Task,
    /// The positions of the tasks among those of the command, at least two.
    pub(crate) members: Vec<usize>,
}

/// The groups of `tasks`, which are those of `workloads`, in their order.
///
/// # Errors
/// There is none, or no variant of the device serves one of them.
pub(crate) fn groups(workloads: &[Workload], tasks: &[Task], device: &Device) -> anyhow::Result<Vec<Group>> {
    let mut found: Vec<(KernelKey, AttentionShape, Vec<usize>)> = Vec::new();
    for (member, workload) in workloads.iter().enumerate() {
        let Shape::Attention(shape) = workload.shape else { continue };
        let shape = AttentionShape { batch_invariant: true, ..shape };
        let key = KernelKey::from(&Workload::new(workload.name.clone(), shape)?.problem);
        match found.iter_mut().find(|(known, ..)| *known == key) {
            Some((.., members)) => members.push(member),
            None => found.push((key, shape, vec![member])),
        }
    }
    found.retain(|(.., members)| members.len() > 1);
    if found.is_empty() {
        let names: Vec<&str> = workloads.iter().map(|workload| workload.name.as_str()).collect();
        let reason = format!(
            "--batch-invariant chooses among workloads of attention that differ only in their batch, of which {} has no \
             two: give --batch several numbers, such as 1,4,16, or name several workloads, such as w1 and w1-b1",
            names.join(", ")
        );
        return Err(Usage(reason).into());
    }
    let group = |(_, shape, members): (KernelKey, AttentionShape, Vec<usize>)| {
        let names: Vec<&str> = members.iter().map(|&member| tasks[member].name.as_str()).collect();
        let task = Task::new(&Workload::new(names.join("+"), shape)?, device)?;
        Ok(Group { task, members })
    };
    found.into_iter().map(group).collect()
}

/// Where a schedule of `group` stands among the points of `member`, if it serves it.
pub(crate) fn position(group: &Task, member: &Task, schedule: usize) -> Option<usize> {
    member.position(&group.points[schedule].choice)
}

/// What a search of `member` says of the schedules of `group`.
pub(crate) fn measured(group: &Task, member: &Task, outcome: &Outcome) -> Batch {
    let time = |schedule| outcome.statuses[position(group, member, schedule)?].time();
    let best = outcome.fastest().map_or(outcome.time.median, |(_, best)| best);
    Batch { best, times: (0..group.points.len()).map(time).collect() }
}

/// Why there is no choice for every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoChoice {
    /// Fewer than two of the batches have a result.
    #[error("fewer than two of its batches were tuned, so there is no choice for every batch")]
    Alone,
    /// No schedule was measured in all of them.
    #[error(
        "no schedule was measured in all of its batches, so there is no choice for every batch: give it a longer \
         --budget, or batches that are closer"
    )]
    NothingInCommon,
}
