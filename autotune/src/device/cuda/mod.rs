//! A GPU behind the CUDA driver.

mod attention;
mod bench;
mod score;
mod select;

use std::time::Duration;

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    cuda::{Context, DeviceInfo, ModuleCache, Stream},
    profile::{Catalogue, Choice, DeviceId, GpuCatalogue, Kernel, Policy, Provenance},
};
use dustin_autotune::workload::Problem;
use dustin_kernels::registry::{ATTENTION, FOLD, LOGITS, SELECT, source_hash};

use self::bench::{CudaBench, Side};
use super::{Device, Offers, memory, provenance};
use crate::{
    search::{Bench, Settings},
    task::{Excluded, Task},
};

/// One GPU, and what has been compiled for it.
pub(crate) struct Cuda {
    id: DeviceId,
    catalogue: GpuCatalogue,
    modules: ModuleCache,
    stream: Stream,
}

impl Cuda {
    /// The GPU that the driver counts as `ordinal`.
    ///
    /// # Errors
    /// There is no driver that serves, or no such GPU.
    pub(crate) fn open(ordinal: u32) -> anyhow::Result<Self> {
        let context = Context::new(ordinal).with_context(|| format!("GPU {ordinal} cannot be used"))?;
        let modules = ModuleCache::new(&context)?;
        let stream = Stream::new(&context)?;
        let info = modules.device();
        Ok(Self { id: info.id(), catalogue: GpuCatalogue { limits: info.limits() }, modules, stream })
    }

    fn info(&self) -> &DeviceInfo {
        self.modules.device()
    }
}

impl Device for Cuda {
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
        let info = self.info();
        // Beyond 32 bits of KiB or MiB there is no device.
        let units = |bytes: u64, unit: u64| u32::try_from(bytes / unit).ok();
        let attention = ATTENTION.iter().map(|variant| (variant.id, variant.revision));
        let logits = LOGITS.iter().map(|variant| (variant.id, variant.revision));
        let folds = FOLD.iter().map(|variant| (variant.id, variant.revision));
        let select = SELECT.iter().map(|variant| (variant.id, variant.revision));
        let variants = attention.chain(logits).chain(folds).chain(select);
        let variants = variants.map(|(id, revision)| format!("{id} r{revision}"));
        let splits = dustin::attention::space::SPLITS.iter().chain(&dustin::score::space::SPLITS);
        let splits = splits.map(|splits| format!("{splits} splits"));
        Provenance {
            device: self.id.clone(),
            sm_count: Some(info.sm_count),
            cpu_threads: None,
            l2_kib: units(info.l2_bytes, 1 << 10),
            memory_mib: units(info.memory_bytes, 1 << 20),
            driver: info.driver_version.clone(),
            cuda: Some(info.cuda_version.to_string()),
            power_limit_w: info.power_limit_watts.map(|watts| watts.round() as u32),
            mig: info.mig,
            kernel_source_hash: source_hash().unwrap_or_default().into(),
            search_space_hash: provenance::digest(variants.chain(splits)),
            crate_version: env!("CARGO_PKG_VERSION").into(),
            date: provenance::now(),
        }
    }

    fn bandwidth(&self) -> Option<f64> {
        self.info().memory_bandwidth()
    }

    fn settings(&self) -> Settings {
        Settings {
            budget: None,
            screening: 3,
            prune: 2.5,
            finalists: 12,
            reach: 1.12,
            rounds: 15,
            repetitions: 3,
            pairs: 21,
        }
    }

    fn points(&self, problem: &Problem) -> Result<Offers, InvalidInput> {
        let limits = &self.catalogue.limits;
        match problem {
            Problem::Attention(problem) => attention::points(problem, limits),
            Problem::Score(problem) => score::points(problem, limits),
            Problem::Select(problem) => select::points(problem, limits),
        }
    }

    fn estimate(&self, task: &Task, trials: usize) -> Duration {
        // Compiling, checking and screening take some 15 ms a candidate, and as long as 30 launches where these are long;
        // the finals take as many again as a hundred candidates do. Inputs are made at about 1 GB/s.
        let launch = self.bandwidth().map_or(0.0, |bandwidth| task.problem.bytes() as f64 / bandwidth);
        let candidates = 0.015 * trials as f64 + 30.0 * launch * (trials + 100) as f64;
        let inputs = 1e-9 * memory::bytes(&task.problem) as f64;
        Duration::from_secs_f64(1.0 + candidates + inputs)
    }

    fn bench<'a>(&'a self, task: &'a Task, seed: u64) -> anyhow::Result<Box<dyn Bench + 'a>> {
        memory::require(&task.problem)?;
        match &task.problem {
            Problem::Attention(problem) => {
                let sides = attention::AttentionSide::both(self, task, problem, seed)?;
                self.prepared(task.candidates_as(Choice::gpu_attention)?, sides, task, seed)
            }
            Problem::Score(problem) => {
                let sides = score::ScoreSide::both(self, task, problem, seed)?;
                self.prepared(task.candidates_as(Choice::gpu_score)?, sides, task, seed)
            }
            Problem::Select(problem) => {
                let sides = select::SelectSide::both(&self.stream, task, problem, seed)?;
                self.prepared(task.candidates_as(Choice::gpu_selection)?, sides, task, seed)
            }
        }
    }
}

impl Cuda {
    /// The bench of two sides, awkward and timed.
    fn prepared<'a, S: Side + Sync + 'a>(
        &'a self,
        candidates: Vec<S::Candidate>,
        sides: (S, S),
        task: &Task,
        seed: u64,
    ) -> anyhow::Result<Box<dyn Bench + 'a>> {
        let bytes = task.problem.bytes();
        let bench = CudaBench::new((&self.modules, &self.stream), candidates, sides, bytes, seed);
        Ok(Box::new(bench.with_context(|| format!("{} needs a workspace", task.name))?))
    }
}

/// A point that is left out.
fn excluded(candidate: impl ToString, reason: String) -> Excluded {
    Excluded { point: candidate.to_string(), reason }
}
