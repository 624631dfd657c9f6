//! Workloads on the CPU back end.

mod accept;
mod attention;
mod cache;
mod score;
mod select;

use std::{fmt, time::Instant};

use anyhow::{bail, ensure};
use dustin::cpu::CpuBackend;
use dustin_autotune::workload::Problem;

use crate::{Bench, work::Work};

/// The CPU back end.
#[derive(Debug)]
pub struct Cpu(CpuBackend);

/// A problem's input, and what is written.
trait Job: fmt::Debug {
    /// What runs: variant and launch parameters.
    fn label(&self) -> String;

    /// One launch; gives the status word.
    ///
    /// # Errors
    /// The back end cannot serve the problem.
    fn launch(&mut self, backend: &mut CpuBackend) -> anyhow::Result<u64>;

    /// Compares what was written with the reference.
    ///
    /// # Errors
    /// What differs.
    fn check(&self) -> anyhow::Result<()>;
}

impl Cpu {
    /// A thread for each hardware thread.
    ///
    /// # Errors
    /// The operating system refuses the threads.
    pub fn open() -> anyhow::Result<Self> {
        Ok(Self(CpuBackend::new(0)?))
    }

    /// The back end's name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("CPU, {} threads", self.0.limits().threads)
    }

    /// Prepares `work` with the choice that is made without tuning.
    ///
    /// # Errors
    /// The result is wrong, or the work is none for a CPU.
    pub fn bench(&mut self, work: &Work) -> anyhow::Result<CpuBench<'_>> {
        let limits = self.0.limits();
        let (small, job) = match work {
            Work::Cache(work) => cache::jobs(work)?,
            Work::Accept(work) => accept::jobs(work)?,
            Work::Chain(work) => bail!("{}: chains of launches are a GPU's", work.name),
            Work::Tuned(workload) => {
                let context = workload.context();
                match &workload.problem {
                    Problem::Attention(problem) => attention::jobs(problem, context, limits)?,
                    Problem::Score(problem) => score::jobs(problem, context, limits)?,
                    Problem::Select(problem) => select::jobs(problem, context, limits)?,
                }
            }
        };
        let mut small = CpuBench { backend: &mut self.0, job: small };
        small.launch()?;
        small.job.check()?;
        Ok(CpuBench { backend: &mut self.0, job })
    }
}

/// A small job that is checked, and the one that is timed.
type Jobs = (Box<dyn Job>, Box<dyn Job>);

/// A workload's input.
#[derive(Debug)]
pub struct CpuBench<'a> {
    backend: &'a mut CpuBackend,
    job: Box<dyn Job>,
}

impl CpuBench<'_> {
    fn launch(&mut self) -> anyhow::Result<()> {
        let status = self.job.launch(self.backend)?;
        ensure!(status == 0, "the back end reports {status:#x}");
        Ok(())
    }
}

impl Bench for CpuBench<'_> {
    fn label(&self) -> String {
        self.job.label()
    }

    fn launches(&self) -> u32 {
        1
    }

    fn time(&mut self, samples: u32) -> anyhow::Result<Vec<f64>> {
        self.launch()?;
        (0..samples)
            .map(|_| {
                let start = Instant::now();
                self.launch()?;
                Ok(start.elapsed().as_secs_f64() * 1e6)
            })
            .collect()
    }
}
