//! A bench in a worker: a candidate that takes the worker with it is put into quarantine, and the search goes on.

use std::collections::HashMap;

use super::{
    protocol::{Answer, Assignment, Request, said},
    supervisor::{ATTEMPTS, Limits, Prepared, Supervisor},
};
use crate::{
    search::{Bench, Conditions, Failure, believed, is_time},
    task::Task,
};

/// Runs of a candidate in one check: the awkward problem, the timed one, and as much again for judging them.
const RUNS_OF_A_CHECK: u32 = 4;

/// The same in a confirmation: of series one launch at a time, as they are timed, and of reading what they wrote.
const RUNS_OF_A_CONFIRMATION: u32 = 32;

/// One problem, prepared in a worker.
pub(crate) struct WorkerBench<'a> {
    supervisor: &'a Supervisor,
    task: &'a Task,
    assignment: Assignment,
    limits: Limits,
    /// Candidates that took a worker with them, and how.
    quarantine: HashMap<usize, String>,
    /// The last candidate that served.
    served: Option<usize>,
    /// Workers that ended since.
    ended: u32,
}

impl<'a> WorkerBench<'a> {
    pub(super) fn new(
        supervisor: &'a Supervisor,
        task: &'a Task,
        assignment: Assignment,
        limits: Limits,
    ) -> Self {
        let quarantine = HashMap::new();
        Self { supervisor, task, assignment, limits, quarantine, served: None, ended: 0 }
    }

    /// Asks something of a candidate, unless it is in quarantine, and puts it there if no answer comes of it.
    fn ask(&mut self, candidate: usize, request: &Request, runs: u32) -> Result<Answer, Failure> {
        if let Some(reason) = self.quarantine.get(&candidate) {
            return Err(Failure::Candidate(reason.clone()));
        }
        let reason = match self.supervisor.ask(request, self.limits.of(runs)) {
            Ok(Answer::Failed { lost: false, reason }) => return Err(Failure::Candidate(reason)),
            Ok(Answer::Failed { lost: true, reason }) => reason,
            Ok(answer) => {
                (self.served, self.ended) = (Some(candidate), 0);
                return Ok(answer);
            }
            Err(death) => format!("it {death}"),
        };
        let reason = format!("quarantined: {reason}");
        self.quarantine.insert(candidate, reason.clone());
        self.served = self.served.filter(|&served| served != candidate);
        self.supervisor.stop();
        self.revive(&reason)?;
        Err(Failure::Candidate(reason))
    }

    /// A new worker with the same problem. Whoever served before must serve again: otherwise it is the device that fails.
    ///
    /// # Errors
    /// Several workers in a row ended, or could not begin.
    fn revive(&mut self, reason: &str) -> Result<(), Failure> {
        let mut last = reason.to_owned();
        while self.ended < ATTEMPTS {
            self.ended += 1;
            match self.supervisor.prepare(&self.assignment, &self.limits) {
                Ok(Prepared::Ready) => match self.probe() {
                    Ok(()) => return Ok(()),
                    Err(reason) => last = reason,
                },
                Ok(Prepared::Refused(reason)) | Err(reason) => last = reason,
            }
            self.supervisor.stop();
            self.assignment.ahead = false;
        }
        let name = &self.task.name;
        Err(Failure::Device(format!(
            "the device no longer answers: {ATTEMPTS} workers in a row failed at {name}, the last because {last}"
        )))
    }

    /// Whether the candidate that served last still does; if none has, that remains to be seen.
    fn probe(&mut self) -> Result<(), String> {
        let Some(candidate) = self.served else { return Ok(()) };
        match self.supervisor.ask(&Request::Check { candidate }, self.limits.of(RUNS_OF_A_CHECK)) {
            Ok(Answer::Checked { .. }) => {
                self.ended = 0;
                Ok(())
            }
            Ok(Answer::Failed { reason, .. }) => Err(reason),
            Ok(answer) => Err(format!("it answered {answer:?}")),
            Err(death) => Err(format!("it {death}")),
        }
    }
}

impl Bench for WorkerBench<'_> {
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure> {
        match self.ask(candidate, &Request::Check { candidate }, RUNS_OF_A_CHECK)? {
            Answer::Checked { us } => Ok(us.filter(|us| is_time(*us))),
            answer => Err(misunderstood(&answer)),
        }
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        // A warm-up comes first.
        let runs = repetitions.saturating_add(1);
        match self.ask(candidate, &Request::Time { candidate, repetitions }, runs)? {
            Answer::Timed { us } => believed(said(&us)),
            answer => Err(misunderstood(&answer)),
        }
    }

    fn confirm(&mut self, candidate: usize) -> Result<(), Failure> {
        match self.ask(candidate, &Request::Confirm { candidate }, RUNS_OF_A_CONFIRMATION)? {
            Answer::Confirmed => Ok(()),
            answer => Err(misunderstood(&answer)),
        }
    }

    fn conditions(&mut self) -> Option<Conditions> {
        match self.supervisor.ask(&Request::Conditions, self.limits.of(0)) {
            Ok(Answer::Conditions(conditions)) => conditions,
            Ok(_) => None,
            Err(death) => {
                // No candidate's doing; if there is no other worker, the next question says so.
                self.supervisor.stop();
                let _ = self.revive(&death.to_string());
                None
            }
        }
    }
}

fn misunderstood(answer: &Answer) -> Failure {
    Failure::Device(format!("the worker answered something else than it was asked: {answer:?}"))
}
