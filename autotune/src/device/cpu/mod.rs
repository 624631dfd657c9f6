//! The CPU backend on the machine at hand.

mod bench;
mod machine;

use std::time::Duration;

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    attention::problem::AttentionProblem,
    cpu::{self, CpuBackend, CpuCandidate, VARIANTS},
    profile::{CacheState, Catalogue, Choice, CpuCatalogue, DeviceId, LaunchMode, Policy, Provenance},
};

use self::machine::Machine;
use super::{Device, provenance};
use crate::{
    search::{Bench, Resources, Settings},
    task::{Excluded, Point, Task},
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

    fn policy(&self) -> Policy {
        Policy { launch: LaunchMode::Eager, l2: CacheState::Warm }
    }

    fn provenance(&self) -> Provenance {
        let variants: Vec<String> =
            VARIANTS.iter().map(|variant| format!("{} r{}", variant.id, variant.revision)).collect();
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
            seed: 0,
            screening: 3,
            prune: 2.0,
            finalists: 8,
            reach: 1.15,
            rounds: 12,
            repetitions: 3,
            pairs: 21,
        }
    }

    fn points(&self, problem: &AttentionProblem) -> Result<(Vec<Point>, Vec<Excluded>), InvalidInput> {
        let (legal, excluded) = cpu::candidates(problem, self.catalogue.limits)?;
        let point = |candidate: CpuCandidate| {
            let threads = u64::from(candidate.threads);
            // A tile of keys and one of values, in fp32, for each thread.
            let tile = u64::from(candidate.variant.tokens) * u64::from(problem.kv.head_dim) * 8;
            let resources =
                Resources { workspace: u64::from(candidate.splits), shared: threads * tile, threads };
            let Choice { variant, launch, .. } = Choice::cpu(candidate);
            Point { variant, launch, resources }
        };
        let excluded = excluded
            .into_iter()
            .map(|exclusion| Excluded { point: exclusion.candidate.to_string(), reason: exclusion.reason });
        Ok((legal.into_iter().map(point).collect(), excluded.collect()))
    }

    fn estimate(&self, task: &Task) -> Duration {
        // Two products for each query column and token, at some 10⁹ multiplications a second and thread; about nine
        // runs a candidate, checks and warm-ups included, and as much again for making inputs and the finals.
        let problem = &task.problem;
        let columns = f64::from(problem.total_rows) * f64::from(problem.query_heads);
        let tokens = f64::from(problem.set_capacity + problem.rows);
        let run =
            2.0 * columns * tokens * f64::from(problem.kv.head_dim) / 1e9 / f64::from(self.machine.threads);
        Duration::from_secs_f64(0.5 + (run * 9.0 + 1e-3) * (task.points.len() + 300) as f64)
    }

    fn bench<'a>(&'a self, task: &'a Task, seed: u64) -> anyhow::Result<Box<dyn Bench + 'a>> {
        Ok(Box::new(bench::CpuBench::new(backend(self.machine.threads)?, task, seed)?))
    }
}
