//! The CPU backend on the machine at hand.

mod attention;
mod bench;
mod machine;
mod score;
mod select;

use std::time::Duration;

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    cpu::{self, CpuBackend},
    profile::{Catalogue, Choice, CpuCatalogue, DeviceId, Kernel, Policy, Provenance},
};
use dustin_autotune::workload::Problem;

use self::{
    bench::{CpuBench, Side},
    machine::Machine,
};
use super::{
    Device, Offers,
    judge::{AttentionCase, ScoreCase, SelectCase},
    memory, provenance,
};
use crate::{
    search::{Bench, Settings},
    task::{Excluded, Task},
};

/// The CPU.
pub(crate) struct Cpu {
    id: DeviceId,
    machine: Machine,
    catalogue: CpuCatalogue,
}

impl Cpu {
    /// The CPU of this machine.
    ///
    /// # Errors
    /// The operating system refuses threads.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let machine = Machine::at_hand();
        let limits = backend(machine.threads)?.limits();
        Ok(Self { id: DeviceId::cpu(machine.name.clone()), machine, catalogue: CpuCatalogue { limits } })
    }
}

/// The back end with as many threads as the machine has.
fn backend(threads: u32) -> anyhow::Result<CpuBackend> {
    CpuBackend::new(threads)
        .with_context(|| format!("the system refuses the CPU backend its {threads} threads"))
}

impl Device for Cpu {
    fn id(&self) -> &DeviceId {
        &self.id
    }

    fn catalogue(&self) -> &dyn Catalogue {
        &self.catalogue
    }

    fn policy(&self, kernel: Kernel) -> Policy {
        Policy::of(kernel, &self.id)
    }

    fn provenance(&self) -> Provenance {
        let attention = cpu::VARIANTS.iter().map(|variant| (variant.id, variant.revision));
        let score = cpu::score::VARIANTS.iter().map(|variant| (variant.id, variant.revision));
        let select = cpu::select::VARIANTS.iter().map(|variant| (variant.id, variant.revision));
        let variants = attention.chain(score).chain(select);
        let variants: Vec<String> = variants.map(|(id, revision)| format!("{id} r{revision}")).collect();
        let splits = cpu::SPLITS.iter().map(|splits| format!("{splits} splits"));
        Provenance {
            device: self.id.clone(),
            sm_count: None,
            cpu_threads: Some(self.machine.threads),
            l2_kib: self.machine.cache_kib,
            memory_mib: self.machine.memory_mib,
            driver: None,
            cuda: None,
            power_limit_w: None,
            mig: None,
            kernel_source_hash: provenance::digest(variants.clone()),
            search_space_hash: provenance::digest(variants.into_iter().chain(splits)),
            crate_version: env!("CARGO_PKG_VERSION").into(),
            date: provenance::now(),
        }
    }

    fn bandwidth(&self) -> Option<f64> {
        None
    }

    fn settings(&self) -> Settings {
        Settings {
            budget: None,
            screening: 3,
            prune: 2.0,
            finalists: 8,
            reach: 1.15,
            rounds: 12,
            repetitions: 3,
            pairs: 21,
        }
    }

    fn points(&self, problem: &Problem) -> Result<Offers, InvalidInput> {
        let limits = self.catalogue.limits;
        match problem {
            Problem::Attention(problem) => attention::points(problem, limits),
            Problem::Score(problem) => score::points(problem, limits),
            Problem::Select(problem) => select::points(problem, limits),
        }
    }

    fn estimate(&self, task: &Task, trials: usize) -> Duration {
        // About nine runs a candidate, checks and warm-ups included, and as much again for making inputs and the finals.
        let threads = self.machine.threads;
        let run = match &task.problem {
            Problem::Attention(problem) => attention::run_time(problem, threads),
            Problem::Score(problem) => score::run_time(problem, threads),
            Problem::Select(problem) => select::run_time(problem, threads),
        };
        let runs = run.as_secs_f64() * 9.0 + 1e-3;
        Duration::from_secs_f64(0.5 + runs * (trials + 300) as f64)
    }

    fn bench<'a>(&'a self, task: &'a Task, seed: u64) -> anyhow::Result<Box<dyn Bench + 'a>> {
        memory::require(&task.problem)?;
        let context = task.context;
        match &task.problem {
            Problem::Attention(problem) => {
                let timed = AttentionCase::timed(problem, context, seed)?;
                let cases = (AttentionCase::awkward(&problem.into(), seed)?, timed);
                self.prepared::<attention::AttentionSide, _>(task, cases, Choice::cpu_attention)
            }
            Problem::Score(problem) => {
                let timed = ScoreCase::timed(problem, context, seed)?;
                let cases = (ScoreCase::awkward(&problem.into(), seed)?, timed);
                self.prepared::<score::ScoreSide, _>(task, cases, Choice::cpu_score)
            }
            Problem::Select(problem) => {
                let timed = SelectCase::timed(problem, context, seed)?;
                let cases = (SelectCase::awkward(&problem.into(), seed)?, timed);
                self.prepared::<select::SelectSide, _>(task, cases, Choice::cpu_selection)
            }
        }
    }
}

impl Cpu {
    /// The bench of two cases, awkward and timed, for the task's points as `candidate` reads them.
    fn prepared<'a, S: Side + From<C> + 'a, C>(
        &self,
        task: &Task,
        (awkward, timed): (C, C),
        candidate: fn(&Choice) -> Option<S::Candidate>,
    ) -> anyhow::Result<Box<dyn Bench + 'a>> {
        let candidates = task.candidates_as(candidate)?;
        let backend = backend(self.machine.threads)?;
        Ok(Box::new(CpuBench::<S> { backend, candidates, awkward: awkward.into(), timed: timed.into() }))
    }
}

/// A point that is left out.
fn excluded(candidate: impl ToString, reason: String) -> Excluded {
    Excluded { point: candidate.to_string(), reason }
}
