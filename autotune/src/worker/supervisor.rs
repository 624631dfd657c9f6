//! A device's worker, and how it is replaced when it ends.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use anyhow::{anyhow, bail};

use super::{
    bench::WorkerBench,
    process::{Death, Process},
    protocol::{Answer, Assignment, Opened, Reply, Request},
};
use crate::{device::Device, resolve::DeviceChoice, search::SearchError, task::Task};

/// How long a device may take to be found, and to open: a machine with many GPUs needs tens of seconds for the first use.
const OPENING: Duration = Duration::from_secs(120);

/// What preparing may take beside the time that a search takes: making inputs, their reference, and compiling.
const PREPARING: Duration = Duration::from_secs(120);

/// Workers in a row that may fail before the device is given up.
pub(super) const ATTEMPTS: u32 = 3;

/// Keeps a worker that serves one device.
pub(crate) struct Supervisor {
    /// The GPU's number, if it is one.
    gpu: Option<u32>,
    /// The least time that a candidate is given for one answer.
    patience: Duration,
    process: RefCell<Option<Process>>,
    /// A process that was killed and is still there, so that the device is not free.
    stuck: Cell<Option<u32>>,
    /// The most bytes of the device's memory that were in use.
    memory: Cell<Option<u64>>,
}

/// What came of asking a worker to prepare a problem.
pub(super) enum Prepared {
    /// It is ready.
    Ready,
    /// The worker is well, and says why it cannot be.
    Refused(String),
}

impl Supervisor {
    /// Finds the device asked for by a worker, whose candidates will have at least `patience` for one answer. Gives the device and
    /// what a person should know. Nothing uses it yet.
    ///
    /// # Errors
    /// There is no such device; the system refuses a process.
    pub(crate) fn find(
        choice: DeviceChoice,
        patience: Duration,
    ) -> anyhow::Result<(Self, Device, Option<String>)> {
        let mut process = start().map_err(|reason| anyhow!(reason))?;
        let (about, remark) = match process.ask(&Request::Find(choice), OPENING).map(|reply| reply.answer) {
            Ok(Answer::Found { about, remark }) => (*about, remark),
            Ok(Answer::Failed { reason, .. }) => bail!(reason),
            Ok(answer) => bail!("the worker that was to find the device answered {answer:?}"),
            Err(death) => bail!("the worker that was to find the device {death}"),
        };
        let supervisor = Self {
            gpu: about.gpu.as_ref().map(|place| place.ordinal),
            patience,
            process: RefCell::new(Some(process)),
            stuck: Cell::default(),
            memory: Cell::default(),
        };
        Ok((supervisor, Device::new(about), remark))
    }

    /// Opens the device, in a new worker if there is none.
    ///
    /// # Errors
    /// It cannot be used; the system refuses a process.
    pub(crate) fn open(&self) -> anyhow::Result<Opened> {
        self.opened().map_err(|reason| {
            self.stop();
            anyhow!(reason)
        })
    }

    /// The most bytes of the device's memory that were in use since this was asked last, where that is known.
    pub(crate) fn take_memory(&self) -> Option<u64> {
        self.memory.take()
    }

    /// Prepares inputs from `seed`, reference and workspace for the points of `task`.
    ///
    /// # Errors
    /// The device cannot hold or run the problem, or is lost.
    pub(crate) fn bench<'a>(
        &'a self,
        device: &Device,
        task: &'a Task,
        seed: u64,
    ) -> anyhow::Result<WorkerBench<'a>> {
        let choices = task.points.iter().map(|point| point.choice.clone()).collect();
        let assignment =
            Assignment { name: task.name.clone(), key: task.sizes.clone(), choices, seed, ahead: true };
        let limits = Limits {
            preparing: PREPARING + device.estimate(task, task.points.len()) * 20,
            answer: self.patience,
            run: device.patience(&task.problem),
        };
        let mut lost = String::new();
        for attempt in 0..ATTEMPTS {
            // Whatever kills a worker while all candidates are compiled has no name; if each is compiled when it is
            // checked, it has.
            let assignment = Assignment { ahead: attempt == 0, ..assignment.clone() };
            match self.prepare(&assignment, &limits) {
                Ok(Prepared::Ready) => return Ok(WorkerBench::new(self, task, assignment, limits)),
                Ok(Prepared::Refused(reason)) => return Err(anyhow!(reason)),
                Err(reason) => lost = reason,
            }
            self.stop();
        }
        let reason = format!(
            "the device no longer answers: {ATTEMPTS} workers in a row could not prepare the problem; {lost}"
        );
        Err(SearchError::Device(reason).into())
    }

    /// Has the problem prepared, by a new worker if there is none.
    ///
    /// # Errors
    /// The worker failed, so that another one is needed.
    pub(super) fn prepare(&self, assignment: &Assignment, limits: &Limits) -> Result<Prepared, String> {
        if self.process.borrow().is_none() {
            self.opened()?;
        }
        match self.ask(&Request::Prepare(assignment.clone()), limits.preparing) {
            Ok(Answer::Prepared) => Ok(Prepared::Ready),
            Ok(Answer::Failed { lost: false, reason }) => Ok(Prepared::Refused(reason)),
            Ok(Answer::Failed { lost: true, reason }) => Err(reason),
            Ok(answer) => Err(format!("the last one answered {answer:?}")),
            Err(death) => Err(format!("the last one {death}")),
        }
    }

    /// Asks the worker.
    ///
    /// # Errors
    /// It gives no answer: it has to be stopped.
    pub(super) fn ask(&self, request: &Request, limit: Duration) -> Result<Answer, Death> {
        match self.process.borrow_mut().as_mut() {
            Some(process) => {
                let Reply { answer, memory } = process.ask(request, limit)?;
                self.memory.set(self.memory.get().max(memory));
                Ok(answer)
            }
            None => Err(Death::Ended("there is none".into())),
        }
    }

    /// Kills the worker, and with it whatever a candidate is still doing. The next problem gets a new one.
    pub(crate) fn stop(&self) {
        if let Some(mut process) = self.process.take()
            && let Err(number) = process.end()
        {
            self.stuck.set(Some(number));
        }
    }

    /// Has a worker open the device; it has to be stopped after an error.
    fn opened(&self) -> Result<Opened, String> {
        if let Some(number) = self.stuck.get() {
            return Err(format!(
                "its worker, process {number}, was killed and is still there, waiting for a driver that does not answer"
            ));
        }
        if self.process.borrow().is_none() {
            *self.process.borrow_mut() = Some(start()?);
        }
        match self.ask(&Request::Open(self.gpu), OPENING) {
            Ok(Answer::Opened(opened)) => Ok(opened),
            Ok(Answer::Failed { reason, .. }) => Err(reason),
            Ok(answer) => Err(format!("the worker that was to open the device answered {answer:?}")),
            Err(death) => Err(format!("the worker that was to open the device {death}")),
        }
    }
}

fn start() -> Result<Process, String> {
    Process::start().map_err(|error| format!("no worker process can be started: {error}"))
}

/// How long a worker may take to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// When it prepares a problem.
    preparing: Duration,
    /// For any other answer, at the least.
    answer: Duration,
    /// For each run of a candidate, beyond that.
    run: Duration,
}

impl Limits {
    /// For an answer that takes so many runs.
    pub(super) fn of(&self, runs: u32) -> Duration {
        self.answer + self.run * runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_whose_worker_cannot_be_ended_is_given_up_in_a_sentence() {
        let supervisor = Supervisor {
            gpu: Some(0),
            patience: Duration::ZERO,
            process: RefCell::default(),
            stuck: Cell::new(Some(7)),
            memory: Cell::default(),
        };
        let reason = supervisor.open().unwrap_err().to_string();
        assert!(reason.contains("process 7, was killed and is still there"), "{reason}");
    }
}
