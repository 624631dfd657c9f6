//! A GPU behind the CUDA driver.

mod bench;

use std::time::Duration;

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    attention::{
        launch::AttentionPlan,
        problem::AttentionProblem,
        space::{self, SPLITS},
    },
    cuda::{Context, DeviceInfo, ModuleCache, Stream},
    profile::{CacheState, Catalogue, Choice, DeviceId, GpuCatalogue, LaunchMode, Policy, Provenance},
};
use dustin_kernels::registry::{ATTENTION, source_hash};

use super::{Device, provenance};
use crate::{
    search::{Bench, Resources, Settings},
    task::{Excluded, Point, Task},
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
        let (major, minor) = info.compute_capability;
        let id = DeviceId::gpu(info.name.clone(), major, minor);
        Ok(Self { id, catalogue: GpuCatalogue { limits: info.limits() }, modules, stream })
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

    fn policy(&self) -> Policy {
        Policy { launch: LaunchMode::Graph, l2: CacheState::Cold }
    }

    fn provenance(&self) -> Provenance {
        let info = self.info();
        // Beyond 32 bits of KiB or MiB there is no device.
        let units = |bytes: u64, unit: u64| u32::try_from(bytes / unit).ok();
        let variants = ATTENTION.iter().map(|variant| format!("{} r{}", variant.id, variant.revision));
        let splits = SPLITS.iter().map(|splits| format!("{splits} splits"));
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
            seed: 0,
            screening: 3,
            prune: 2.5,
            finalists: 12,
            reach: 1.12,
            rounds: 15,
            repetitions: 3,
            pairs: 21,
        }
    }

    fn points(&self, problem: &AttentionProblem) -> Result<(Vec<Point>, Vec<Excluded>), InvalidInput> {
        let (legal, excluded) = space::candidates(problem, &self.catalogue.limits)?;
        let points: Result<Vec<Point>, InvalidInput> = legal
            .into_iter()
            .map(|candidate| {
                let plan = AttentionPlan::new(problem, candidate.variant, candidate.splits)?;
                let resources = Resources {
                    workspace: plan.workspace_bytes(),
                    shared: plan.shared_bytes().into(),
                    threads: plan.threads().into(),
                };
                let Choice { variant, launch, .. } = Choice::gpu(candidate);
                Ok(Point { variant, launch, resources })
            })
            .collect();
        let excluded = excluded
            .into_iter()
            .map(|exclusion| Excluded { point: exclusion.candidate.to_string(), reason: exclusion.reason });
        Ok((points?, excluded.collect()))
    }

    fn estimate(&self, task: &Task) -> Duration {
        // Compiling, checking and screening take some 15 ms a candidate; inputs are made at about 1 GB/s.
        let candidates = 0.015 * task.points.len() as f64;
        let inputs = 4e-9 * task.problem.kv.extent() as f64;
        Duration::from_secs_f64(1.0 + candidates + inputs)
    }

    fn bench<'a>(&'a self, task: &'a Task, seed: u64) -> anyhow::Result<Box<dyn Bench + 'a>> {
        Ok(Box::new(bench::CudaBench::new(self, task, seed)?))
    }
}
