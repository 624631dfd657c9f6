//! A device's worker, and how it is replaced when it ends.

use std::{cell::RefCell, time::Duration};

use anyhow::anyhow;

use super::{
    bench::WorkerBench,
    process::{Death, Process},
    protocol::{Answer, Assignment, Request},
};
use crate::{
    device::{About, Device},
    resolve::DeviceChoice,
    search::SearchError,
    task::Task,
};

/// How long a device may take to open: a machine with many GPUs needs tens of seconds for the first use.
const OPENING: Duration = Duration::from_secs(120);

/// What preparing may take beside the time that a search takes: making inputs, their reference, and compiling.
const PREPARING: Duration = Duration::from_secs(120);

/// Workers in a row that may fail before the device is given up.
pub(super) const ATTEMPTS: u32 = 3;

/// Keeps a worker that serves one device.
pub(crate) struct Supervisor {
    choice: DeviceChoice,
    /// The least time that a candidate is given for one answer.
    patience: Duration,
    process: RefCell<Option<Process>>,
}

/// What came of asking a worker to prepare a problem.
pub(super) enum Prepared {
    /// It is ready.
    Ready,
    /// The worker is well, and says why it cannot be.
    Refused(String),
}

impl Supervisor {
    /// Opens the device asked for in a worker, whose candidates have at least `patience` for one answer. Gives the device
    /// and what a person should know.
    ///
    /// # Errors
    /// There is no such device; the system refuses a process.
    pub(crate) fn open(
        choice: DeviceChoice,
        patience: Duration,
    ) -> anyhow::Result<(Self, Device, Option<String>)> {
        let mut supervisor = Self { choice, patience, process: RefCell::default() };
        let (process, about, remark) = supervisor.start().map_err(|reason| anyhow!(reason))?;
        supervisor.choice = match &about.gpu {
            Some(place) => DeviceChoice::Cuda { gpu: place.ordinal },
            None => DeviceChoice::Cpu,
        };
        supervisor.process = RefCell::new(Some(process));
        Ok((supervisor, Device::new(about), remark))
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
            *self.process.borrow_mut() = Some(self.start()?.0);
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
            Some(process) => process.ask(request, limit),
            None => Err(Death::Ended("there is none".into())),
        }
    }

    /// Kills the worker, and with it whatever a candidate is still doing. The next problem gets a new one.
    pub(super) fn stop(&self) {
        *self.process.borrow_mut() = None;
    }

    /// A worker with the device open.
    fn start(&self) -> Result<(Process, About, Option<String>), String> {
        let mut process =
            Process::start().map_err(|error| format!("no worker process can be started: {error}"))?;
        match process.ask(&Request::Open(self.choice), OPENING) {
            Ok(Answer::Opened { about, remark }) => Ok((process, *about, remark)),
            Ok(Answer::Failed { reason, .. }) => Err(reason),
            Ok(answer) => Err(format!("the worker that was to open the device answered {answer:?}")),
            Err(death) => Err(format!("the worker that was to open the device {death}")),
        }
    }
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
