//! Checks and times candidates on the CPU: single calls, one after the other.

use std::time::Instant;

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    attention::{
        arrays::{AttentionArrays, LogBase},
        problem::AttentionProblem,
        synthetic::NAN,
    },
    cpu::{CpuBackend, CpuCandidate, LseMut, OutputMut, VARIANTS},
};

use crate::{
    device::judge::Case,
    search::{Bench, Failure},
    task::{Point, Task},
};

/// One problem on the CPU.
pub(super) struct CpuBench {
    backend: CpuBackend,
    candidates: Vec<CpuCandidate>,
    awkward: Side,
    timed: Side,
}

/// A case and what candidates write.
struct Side {
    case: Case,
    output: Vec<u16>,
    lse: Vec<f32>,
}

impl Side {
    fn new(case: Case) -> Self {
        let output = vec![NAN; case.input.output_items()];
        let lse = vec![f32::NAN; if case.input.problem.lse { case.input.lse_items() } else { 0 }];
        Self { case, output, lse }
    }

    /// Runs a candidate over the input; gives the status word.
    fn run(&mut self, backend: &mut CpuBackend, candidate: &CpuCandidate) -> Result<u64, InvalidInput> {
        let problem: &AttentionProblem = &self.case.input.problem;
        let arrays: AttentionArrays<'_> = self.case.input.arrays();
        let lse = problem.lse.then_some(LseMut { items: &mut self.lse, base: LogBase::E });
        backend.attention(problem, candidate, &arrays, OutputMut::Rounded(&mut self.output), lse)
    }

    fn check(&mut self, backend: &mut CpuBackend, candidate: &CpuCandidate) -> Result<(), Failure> {
        self.output.fill(NAN);
        self.lse.fill(f32::NAN);
        let status = self.run(backend, candidate).map_err(|error| Failure::Candidate(error.to_string()))?;
        if status != 0 {
            return Err(Failure::Candidate(format!("it reports status {status:#x} on valid input")));
        }
        let lse = self.case.input.problem.lse.then_some(self.lse.as_slice());
        self.case.judge(&self.output, lse).map_err(Failure::Candidate)
    }
}

impl CpuBench {
    pub(super) fn new(backend: CpuBackend, task: &Task, seed: u64) -> anyhow::Result<Self> {
        let candidate = |point: &Point| {
            let variant = VARIANTS.iter().find(|known| known.id == point.variant)?;
            Some(CpuCandidate { variant, threads: point.launch.threads?, splits: point.launch.splits? })
        };
        let candidate = |point: &Point| {
            candidate(point).with_context(|| format!("{point} is no point of the CPU's space"))
        };
        let candidates = task.points.iter().map(candidate).collect::<anyhow::Result<Vec<CpuCandidate>>>()?;
        let awkward = Side::new(Case::awkward(&task.key, seed)?);
        let timed = Side::new(Case::timed(&task.problem, task.context, seed)?);
        Ok(Self { backend, candidates, awkward, timed })
    }
}

impl Bench for CpuBench {
    fn check(&mut self, candidate: usize) -> Result<(), Failure> {
        let Self { backend, candidates, awkward, timed } = self;
        awkward.check(backend, &candidates[candidate])?;
        timed.check(backend, &candidates[candidate])
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        let Self { backend, candidates, timed, .. } = self;
        let candidate = &candidates[candidate];
        let mut run = || {
            let start = Instant::now();
            timed.run(backend, candidate).map_err(|error| Failure::Candidate(error.to_string()))?;
            Ok(start.elapsed().as_secs_f64() * 1e6)
        };
        run()?;
        (0..repetitions).map(|_| run()).collect()
    }
}
