//! Writing to caches on a GPU. Rows that are appended lie in the L2 cache, as if a projection had just written them, and go to
//! the layers' caches in turn; caches that are compacted do not, as the layers above have been read since they were written.

use anyhow::{Context as _, ensure};
use dustin::{
    cache::{
        append::{self, launch::AppendPlan},
        compact::{self, launch::CompactPlan, problem::CompactProblem},
        compare::{Written, compare},
        layer::Layer,
    },
    cuda::{
        AppendKernel, AppendTarget, CompactKernel, CudaError, DeviceAppendInput, DeviceBuffer,
        DeviceCompactInput, DeviceLayer, Stream, Workspace,
    },
};
use dustin_kernels::registry::{APPEND, COMPACT};

use super::{Gpu, GpuBench, Job};
use crate::work::{CacheWork, Writes};

/// Prepares `work`, which is checked on a small one.
pub(super) fn bench<'a>(gpu: &'a Gpu, work: &CacheWork) -> anyhow::Result<GpuBench<'a>> {
    match work.writes {
        Writes::Append => {
            let small = AppendJob::new(gpu, &work.small())?;
            gpu.launch(&small)?;
            let query_copy = small.query_copy.as_ref().map(|copy| copy.download(&gpu.stream)).transpose()?;
            check(
                gpu,
                &small.layers[..1],
                query_copy.unwrap_or_default(),
                work.small().append()?.reference()?,
            )
            .context(small.label())?;
            GpuBench::new(gpu, AppendJob::new(gpu, work)?, work.bytes())
        }
        Writes::Compact => {
            let small = CompactJob::new(gpu, &work.small())?;
            gpu.launch(&small)?;
            check(gpu, &small.sets[0].layers, Vec::new(), work.small().compact()?.reference()?)
                .context(small.label())?;
            GpuBench::new(gpu, CompactJob::new(gpu, work)?, work.bytes())
        }
    }
}

/// Compares what a launch has left with the reference.
fn check(gpu: &Gpu, layers: &[DeviceLayer], query_copy: Vec<u16>, reference: Written) -> anyhow::Result<()> {
    let download = |(layer, of): (&DeviceLayer, &Layer)| {
        Ok::<_, CudaError>(Layer { items: layer.items.download(&gpu.stream)?, ..of.clone() })
    };
    let layers = layers.iter().zip(&reference.layers).map(download).collect::<Result<_, _>>()?;
    compare(&reference, &Written { layers, query_copy, status: 0 })?;
    Ok(())
}

#[derive(Debug)]
struct AppendJob {
    kernel: AppendKernel,
    workspace: Workspace,
    input: DeviceAppendInput,
    layers: Vec<DeviceLayer>,
    query_copy: Option<DeviceBuffer<u16>>,
}

impl AppendJob {
    fn new(gpu: &Gpu, work: &CacheWork) -> anyhow::Result<Self> {
        let stream = &gpu.stream;
        let input = work.append()?;
        let default = append::launch::default_variant(&gpu.modules.device().limits())?;
        let warps = work.warps.unwrap_or(default.warps);
        let mut alike = APPEND.iter().filter(|variant| variant.overlaps == default.overlaps);
        let variant = alike.find(|variant| variant.warps == warps).context("a variant")?;
        let plan = AppendPlan::new(&input.problem(), variant)?;
        let layers = (0..work.layers).map(|_| DeviceLayer::upload(stream, &input.layer));
        let query_copy = (input.query_heads > 0).then_some(&input.query_copy);
        Ok(Self {
            workspace: Workspace::allocate(stream, &plan)?,
            kernel: AppendKernel::new(&gpu.modules, plan)?,
            input: DeviceAppendInput::upload(stream, &input.problem(), &input.arrays())?,
            layers: layers.collect::<Result<_, _>>()?,
            query_copy: query_copy.map(|items| DeviceBuffer::of(stream, items)).transpose()?,
        })
    }
}

impl Job for AppendJob {
    fn label(&self) -> String {
        self.kernel.plan().variant().id.to_owned()
    }

    fn turns(&self) -> u32 {
        self.layers.len() as u32
    }

    fn workspaces(&self) -> Vec<&Workspace> {
        vec![&self.workspace]
    }

    unsafe fn launch(&self, stream: &Stream, turn: u32) -> Result<(), CudaError> {
        let layer = &self.layers[turn as usize % self.layers.len()];
        let target = AppendTarget {
            key_cache: layer.key_cache(),
            value_cache: layer.value_cache(),
            query_copy: self.query_copy.as_ref().map_or(0, DeviceBuffer::address),
        };
        let buffers = self.input.buffers(target, &self.workspace);
        // SAFETY: arrays and workspace are the job's own, of the plan's shapes; the rest is the caller's promise.
        unsafe { self.kernel.launch(stream, &buffers) }
    }
}

/// The caches of all layers, and what compacts them.
#[derive(Debug)]
struct Set {
    input: DeviceCompactInput,
    layers: Vec<DeviceLayer>,
}

#[derive(Debug)]
struct CompactJob {
    kernel: CompactKernel,
    workspace: Workspace,
    sets: Vec<Set>,
}

impl CompactJob {
    fn new(gpu: &Gpu, work: &CacheWork) -> anyhow::Result<Self> {
        let stream = &gpu.stream;
        let input = work.compact()?;
        let device = gpu.modules.device();
        let variant = match work.warps {
            None => compact::launch::default_variant(&device.limits())?,
            Some(warps) => COMPACT.iter().find(|variant| variant.warps == warps).context("a variant")?,
        };
        let plan = CompactPlan::new(&input.problem, variant)?;
        let set = |_| {
            let layers = input.layers.iter().map(|layer| DeviceLayer::upload(stream, layer));
            let layers = layers.collect::<Result<Vec<_>, _>>()?;
            let keys: Vec<u64> = layers.iter().map(DeviceLayer::key_cache).collect();
            let values: Vec<u64> = layers.iter().map(DeviceLayer::value_cache).collect();
            let input = DeviceCompactInput::upload(stream, &input.problem, &input.arrays(), &keys, &values)?;
            Ok::<_, CudaError>(Set { input, layers })
        };
        let sets = (0..sets(&input.problem, device.l2_bytes)).map(set).collect::<Result<Vec<_>, _>>()?;
        ensure!(!sets.is_empty(), "there are caches");
        Ok(Self {
            workspace: Workspace::allocate(stream, &plan)?,
            kernel: CompactKernel::new(&gpu.modules, plan)?,
            sets,
        })
    }
}

/// Sets of caches that take turns, so that twice the L2 cache is moved before one returns: a launch touches half of the bytes
/// that it moves, as it reads and writes much the same places.
fn sets(problem: &CompactProblem, l2_bytes: u64) -> u64 {
    1 + (4 * l2_bytes).div_ceil(problem.bytes().max(1 << 20))
}

impl Job for CompactJob {
    fn label(&self) -> String {
        self.kernel.plan().variant().id.to_owned()
    }

    fn turns(&self) -> u32 {
        self.sets.len() as u32
    }

    fn workspaces(&self) -> Vec<&Workspace> {
        vec![&self.workspace]
    }

    unsafe fn launch(&self, stream: &Stream, turn: u32) -> Result<(), CudaError> {
        let buffers = self.sets[turn as usize % self.sets.len()].input.buffers(&self.workspace);
        // SAFETY: arrays and workspace are the job's own, of the plan's shapes; the rest is the caller's promise.
        unsafe { self.kernel.launch(stream, &buffers) }
    }
}
