//! A GPU behind the CUDA driver.

mod attention;
mod bench;
mod harm;
mod launcher;
mod monitor;
mod prior;
mod score;
mod select;
mod side;

use std::time::Duration;

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    cuda::{Context, DeviceBuffer, DeviceInfo, ModuleCache, Stream, device_count},
    limits::{DeviceLimits, Reason},
    profile::{Choice, Provenance},
};
use dustin_autotune::workload::Problem;
use dustin_kernels::registry::{ATTENTION, FOLD, LOGITS, SELECT, source_hash};
use nvml_wrapper::error::NvmlError;

use self::{
    bench::CudaBench,
    monitor::{Monitor, Watchful},
    side::Side,
};
use super::{
    About, GpuPlace, Limits, Offers,
    backend::{Backend, Preparation},
    memory, provenance,
};
use crate::{
    search::{Bench, Conditions, Confirmed, Failure, RELATIVE_BAND, Settings},
    task::{Excluded, Task},
    worker::Harm,
};

/// One GPU, and what has been compiled for it.
pub(super) struct Cuda {
    modules: ModuleCache,
    stream: Stream,
    /// Why nothing watches it, otherwise.
    monitor: Result<Monitor, NvmlError>,
}

impl Cuda {
    /// The GPU that the driver counts as `ordinal`.
    ///
    /// # Errors
    /// There is no driver that serves, or no such GPU.
    pub(super) fn open(ordinal: u32) -> anyhow::Result<Self> {
        // Before this process is one of those that use it.
        let watchful = Watchful::before_use();
        let context = Context::new(ordinal).with_context(|| format!("GPU {ordinal} cannot be used"))?;
        let modules = ModuleCache::new(&context)?;
        let stream = Stream::new(&context)?;
        let sign = |bytes| DeviceBuffer::<u8>::allocate(&context, bytes as usize).ok();
        let monitor = watchful.and_then(|watchful| watchful.watch(&modules.device().pci_bus_id, sign));
        Ok(Self { modules, stream, monitor })
    }

    fn info(&self) -> &DeviceInfo {
        self.modules.device()
    }
}

/// How a search of one problem goes about it here.
pub(super) fn settings() -> Settings {
    Settings {
        budget: None,
        screening: 3,
        prune: 2.5,
        entrants: 12,
        finalists: 4,
        reach: 1.12,
        band: RELATIVE_BAND,
        rounds: 15,
        repetitions: 3,
        pairs: 21,
        confirmed: Confirmed::Choice,
    }
}

/// Every point of the tuning space for `problem`, and those left out with their reasons.
///
/// # Errors
/// The problem is invalid.
pub(super) fn points(problem: &Problem, limits: &DeviceLimits) -> Result<Offers, InvalidInput> {
    match problem {
        Problem::Attention(problem) => attention::points(problem, limits),
        Problem::Score(problem) => score::points(problem, limits),
        Problem::Select(problem) => select::points(problem, limits),
    }
}

/// About how long a launch takes that a device's memory with so many bytes per second bounds.
pub(super) fn run_time(problem: &Problem, bandwidth: Option<f64>) -> Duration {
    Duration::from_secs_f64(bandwidth.map_or(0.0, |bandwidth| problem.bytes() as f64 / bandwidth))
}

/// About how long a search of `task` takes that tries so many of its points.
pub(super) fn estimate(task: &Task, trials: usize, bandwidth: Option<f64>) -> Duration {
    // Compiling, checking and screening take some 15 ms a candidate, and as long as 30 launches where these are long;
    // the finals take as many again as a hundred candidates do. Inputs are made at about 1 GB/s.
    let launch = run_time(&task.problem, bandwidth).as_secs_f64();
    let candidates = 0.015 * trials as f64 + 30.0 * launch * (trials + 100) as f64;
    let inputs = 1e-9 * memory::bytes(&task.problem) as f64;
    Duration::from_secs_f64(1.0 + candidates + inputs)
}

/// The GPU that the driver counts as `ordinal`, told. No context is made on it.
///
/// # Errors
/// There is no driver that serves, or no such GPU.
pub(super) fn find(ordinal: u32) -> anyhow::Result<About> {
    let info = DeviceInfo::of(ordinal).with_context(|| format!("GPU {ordinal} cannot be used"))?;
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
    let provenance = Provenance {
        device: info.id(),
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
    };
    Ok(About {
        provenance,
        bandwidth: info.memory_bandwidth(),
        limits: Limits::Gpu(info.limits()),
        gpu: Some(GpuPlace { ordinal, count: device_count().unwrap_or(1), pci_bus_id: info.pci_bus_id }),
    })
}

impl Backend for Cuda {
    fn remark(&self) -> Option<String> {
        let error = self.monitor.as_ref().err()?;
        Some(format!("NVML does not serve ({error}): nobody notices throttling, or who else uses the GPU"))
    }

    fn memory(&self) -> Option<u64> {
        self.modules.context().used_memory().ok().map(|bytes| bytes as u64)
    }

    fn bench<'a>(&'a self, task: &'a Task, how: Preparation) -> anyhow::Result<Box<dyn Bench + 'a>> {
        memory::require(&task.problem)?;
        let seed = how.seed;
        match &task.problem {
            Problem::Attention(problem) => {
                let sides = attention::AttentionSide::both(self, task, problem, seed)?;
                self.prepared(task.candidates_as(Choice::gpu_attention)?, sides, task, how)
            }
            Problem::Score(problem) => {
                let sides = score::ScoreSide::both(self, task, problem, seed)?;
                self.prepared(task.candidates_as(Choice::gpu_score)?, sides, task, how)
            }
            Problem::Select(problem) => {
                let sides = select::SelectSide::both(&self.stream, task, problem, seed)?;
                self.prepared(task.candidates_as(Choice::gpu_selection)?, sides, task, how)
            }
        }
    }

    fn conditions(&self) -> Option<Conditions> {
        self.monitor.as_ref().ok()?.conditions()
    }

    fn suffer(&self, harm: Harm) -> Result<(), Failure> {
        harm::suffer(harm, &self.modules, &self.stream).map_err(launcher::failure)
    }
}

impl Cuda {
    /// The bench of two sides, awkward and timed.
    fn prepared<'a, S: Side + Sync + 'a>(
        &'a self,
        candidates: Vec<S::Candidate>,
        sides: (S, S),
        task: &Task,
        how: Preparation,
    ) -> anyhow::Result<Box<dyn Bench + 'a>> {
        let bytes = task.problem.bytes();
        let bench = CudaBench::new((&self.modules, &self.stream), candidates, sides, bytes, how);
        Ok(Box::new(bench.with_context(|| format!("{} needs room for workspaces and outputs", task.name))?))
    }
}

/// A point that is left out.
fn excluded(candidate: impl ToString, reason: &Reason) -> Excluded {
    Excluded { point: candidate.to_string(), bound: reason.bound(), reason: reason.to_string() }
}
