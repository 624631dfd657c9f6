//! The CPU backend on the machine at hand.

mod attention;
mod bench;
mod harm;
mod machine;
mod score;
mod select;

use std::time::Duration;

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    cpu::{self, CpuBackend, CpuLimits},
    limits::Bound,
    profile::{Choice, DeviceId, Provenance},
};
use dustin_autotune::workload::Problem;

use self::{
    bench::{CpuBench, Side},
    machine::Machine,
};
use super::{
    About, Limits, Offers,
    backend::{Backend, Preparation},
    judge::{AttentionCase, ScoreCase, SelectCase},
    memory, provenance,
};
use crate::{
    search::{Bench, Conditions, Confirmed, Failure, RELATIVE_BAND, Settings},
    task::{Excluded, Task},
    worker::Harm,
};

/// The CPU.
pub(super) struct Cpu {
    threads: u32,
}

impl Cpu {
    /// The CPU of this machine.
    ///
    /// # Errors
    /// The operating system refuses threads.
    pub(super) fn open() -> anyhow::Result<Self> {
        let threads = Machine::at_hand().threads;
        backend(threads).map(|_| Self { threads })
    }
}

/// The back end with as many threads as the machine has.
fn backend(threads: u32) -> anyhow::Result<CpuBackend> {
    CpuBackend::new(threads)
        .with_context(|| format!("the system refuses the CPU backend its {threads} threads"))
}

/// How a search of one problem goes about it here.
pub(super) fn settings() -> Settings {
    Settings {
        budget: None,
        screening: 3,
        prune: 2.0,
        entrants: 8,
        finalists: 4,
        reach: 1.15,
        band: RELATIVE_BAND,
        rounds: 12,
        repetitions: 3,
        pairs: 21,
        confirmed: Confirmed::Choice,
    }
}

/// Every point of the tuning space for `problem`, and those left out with their reasons.
///
/// # Errors
/// The problem is invalid.
pub(super) fn points(problem: &Problem, limits: CpuLimits) -> Result<Offers, InvalidInput> {
    match problem {
        Problem::Attention(problem) => attention::points(problem, limits),
        Problem::Score(problem) => score::points(problem, limits),
        Problem::Select(problem) => select::points(problem, limits),
    }
}

/// About how long one run with so many threads takes.
pub(super) fn run_time(problem: &Problem, threads: u32) -> Duration {
    match problem {
        Problem::Attention(problem) => attention::run_time(problem, threads),
        Problem::Score(problem) => score::run_time(problem, threads),
        Problem::Select(problem) => select::run_time(problem, threads),
    }
}

/// About how long a search of `task` takes that tries so many of its points.
pub(super) fn estimate(task: &Task, trials: usize, limits: CpuLimits) -> Duration {
    // About nine runs a candidate, checks and warm-ups included, and as much again for making inputs and the finals.
    let runs = run_time(&task.problem, limits.threads).as_secs_f64() * 9.0 + 1e-3;
    Duration::from_secs_f64(0.5 + runs * (trials + 300) as f64)
}

/// The CPU of this machine, told.
///
/// # Errors
/// The operating system refuses threads.
pub(super) fn find() -> anyhow::Result<About> {
    let machine = Machine::at_hand();
    let limits = Limits::Cpu(backend(machine.threads)?.limits());
    let attention = cpu::VARIANTS.iter().map(|variant| (variant.id, variant.revision));
    let score = cpu::score::VARIANTS.iter().map(|variant| (variant.id, variant.revision));
    let select = cpu::select::VARIANTS.iter().map(|variant| (variant.id, variant.revision));
    let variants = attention.chain(score).chain(select);
    let variants: Vec<String> = variants.map(|(id, revision)| format!("{id} r{revision}")).collect();
    let splits = cpu::SPLITS.iter().map(|splits| format!("{splits} splits"));
    let provenance = Provenance {
        device: DeviceId::cpu(machine.name),
        sm_count: None,
        cpu_threads: Some(machine.threads),
        l2_kib: machine.cache_kib,
        memory_mib: machine.memory_mib,
        driver: None,
        cuda: None,
        power_limit_w: None,
        mig: None,
        kernel_source_hash: provenance::digest(variants.clone()),
        search_space_hash: provenance::digest(variants.into_iter().chain(splits)),
        crate_version: env!("CARGO_PKG_VERSION").into(),
        date: provenance::now(),
    };
    Ok(About { provenance, bandwidth: None, limits, gpu: None })
}

impl Backend for Cpu {
    fn remark(&self) -> Option<String> {
        None
    }

    fn memory(&self) -> Option<u64> {
        memory::resident()
    }

    fn bench<'a>(&'a self, task: &'a Task, how: Preparation) -> anyhow::Result<Box<dyn Bench + 'a>> {
        memory::require(&task.problem)?;
        let (context, seed) = (task.context, how.seed);
        match &task.problem {
            Problem::Attention(problem) => {
                let timed = AttentionCase::timed(problem, context, seed)?;
                let cases = (AttentionCase::awkward(&problem.into(), seed)?, timed);
                self.prepared(task, how, cases, Choice::cpu_attention)
            }
            Problem::Score(problem) => {
                let timed = ScoreCase::timed(problem, context, seed)?;
                let cases = (ScoreCase::awkward(&problem.into(), seed)?, timed);
                self.prepared(task, how, cases, Choice::cpu_score)
            }
            Problem::Select(problem) => {
                let timed = SelectCase::timed(problem, context, seed)?;
                let cases = (SelectCase::awkward(&problem.into(), seed)?, timed);
                self.prepared(task, how, cases, Choice::cpu_selection)
            }
        }
    }

    fn conditions(&self) -> Option<Conditions> {
        None
    }

    fn suffer(&self, harm: Harm) -> Result<(), Failure> {
        harm::suffer(harm);
        Ok(())
    }
}

impl Cpu {
    /// The bench of two cases, awkward and timed, for the task's points as `candidate` reads them.
    fn prepared<'a, S: Side + 'a>(
        &self,
        task: &Task,
        how: Preparation,
        cases: (S, S),
        candidate: fn(&Choice) -> Option<S::Candidate>,
    ) -> anyhow::Result<Box<dyn Bench + 'a>> {
        let candidates = task.candidates_as(candidate)?;
        let backend = backend(self.threads)?;
        Ok(Box::new(CpuBench::new(backend, candidates, cases, how.spoil)))
    }
}

/// A point that is left out.
fn excluded(candidate: impl ToString, reason: String) -> Excluded {
    // No point is impossible there.
    Excluded { point: candidate.to_string(), bound: Bound::Idle, reason }
}
