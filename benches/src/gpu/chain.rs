//! The layers of a step on a GPU, one behind the other: caches take turns, so that no layer finds its tokens in the L2 cache;
//! tables, sets, and the rows that are appended (as if a projection had just written them) are the same in all layers.

use anyhow::{Context as _, bail};
use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        compare::{Output, compare_output},
        launch::{AttentionBuffers, AttentionPlan},
        reference,
        space::{Candidate, default_candidate},
        synthetic::AttentionInput,
    },
    cache::{
        append::{
            self,
            launch::{AppendBuffers, AppendPlan},
        },
        synthetic::OwnRows,
    },
    cuda::{
        AppendKernel, AppendTarget, AttentionKernel, CudaError, DeviceAppendInput, DeviceBuffer, DeviceInput,
        DeviceItems, DeviceOutput, Stream, Workspace,
    },
};

use super::{Gpu, GpuBench, Job, require_no_fault};
use crate::{SEED, work::ChainWork};

/// Prepares `work`, whose choice is checked on a small one.
pub(super) fn bench<'a>(gpu: &'a Gpu, work: &ChainWork) -> anyhow::Result<GpuBench<'a>> {
    let candidate = default_candidate(&work.problem, &gpu.modules.device().limits())?;
    check(gpu, &work.small(), candidate).with_context(|| format!("{candidate} is wrong"))?;
    GpuBench::new(gpu, ChainJob::new(gpu, work, candidate)?, work.bytes())
}

/// What appends to a layer's caches.
#[derive(Debug)]
struct Append {
    kernel: AppendKernel,
    workspace: Workspace,
    rows: DeviceAppendInput,
}

#[derive(Debug)]
struct ChainJob {
    layers: u32,
    overlaps: bool,
    candidate: Candidate,
    append: Option<Append>,
    attention: AttentionKernel,
    workspace: Workspace,
    /// Queries, tables, sets and the first of the caches.
    input: DeviceInput,
    /// Keys and values of the other caches.
    more_caches: Vec<[DeviceBuffer<u16>; 2]>,
    output: DeviceOutput,
}

impl ChainJob {
    fn new(gpu: &Gpu, work: &ChainWork, candidate: Candidate) -> anyhow::Result<Self> {
        let (stream, problem) = (&gpu.stream, &work.problem);
        let mut input = AttentionInput::uniform(problem, work.context, SEED)?;
        let append = if work.appends { Some(Append::new(gpu, &mut input)?) } else { None };
        let cache = |_| Ok([DeviceBuffer::of(stream, &input.key)?, DeviceBuffer::of(stream, &input.value)?]);
        let plan = AttentionPlan::new(problem, candidate.variant, candidate.splits)?;
        let strides = &input.strides;
        Ok(Self {
            layers: work.layers,
            overlaps: work.overlaps,
            candidate,
            append,
            workspace: Workspace::allocate(stream, &plan)?,
            attention: AttentionKernel::new(&gpu.modules, plan)?,
            input: DeviceInput::upload(stream, problem, &input.arrays())?,
            more_caches: (1..work.caches).map(cache).collect::<Result<_, CudaError>>()?,
            output: DeviceOutput::allocate(stream, problem, strides, OutputType::Rounded, LogBase::E)?,
        })
    }
}

impl Append {
    /// Appends the rows of `input`, which it takes.
    fn new(gpu: &Gpu, input: &mut AttentionInput) -> anyhow::Result<Self> {
        let stream = &gpu.stream;
        let rows = OwnRows::take(input)?;
        let variant = append::launch::default_variant(&gpu.modules.device().limits())?;
        let plan = AppendPlan::new(&rows.problem, variant)?;
        Ok(Self {
            workspace: Workspace::allocate(stream, &plan)?,
            kernel: AppendKernel::new(&gpu.modules, plan)?,
            rows: DeviceAppendInput::upload(stream, &rows.problem, &rows.arrays(input))?,
        })
    }
}

impl Job for ChainJob {
    fn label(&self) -> String {
        let append = self.append.as_ref().map(|append| append.kernel.plan().variant().id);
        let order = if self.overlaps { "overlapping" } else { "one by one" };
        let names: Vec<_> =
            append.map(str::to_owned).into_iter().chain([self.candidate.to_string()]).collect();
        format!("{} {order}", names.join(", "))
    }

    fn turns(&self) -> u32 {
        self.layers
    }

    fn workspaces(&self) -> Vec<&Workspace> {
        self.append.iter().map(|append| &append.workspace).chain([&self.workspace]).collect()
    }

    unsafe fn launch(&self, stream: &Stream, turn: u32) -> Result<(), CudaError> {
        let caches = 1 + self.more_caches.len();
        let cache = (turn as usize % caches).checked_sub(1).map(|more| &self.more_caches[more]);
        let [key, value] = cache.map_or([&self.input.key, &self.input.value], |[key, value]| [key, value]);
        let (key, value) = (key.address(), value.address());
        // What comes before a step's first launch is not known.
        let mut stable = self.overlaps && turn > 0;
        if let Some(append) = &self.append {
            let query_copy = self.input.query.address();
            let target = AppendTarget { key_cache: key, value_cache: value, query_copy };
            let buffers = AppendBuffers { stable, ..append.rows.buffers(target, &append.workspace) };
            // SAFETY: arrays and workspace are the job's own, of the plan's shapes; the rest is the caller's promise.
            unsafe { append.kernel.launch(stream, &buffers)? };
            stable = self.overlaps;
        }
        let buffers = self.input.buffers(&self.output, &self.workspace);
        let buffers = AttentionBuffers { key, value, stable, ..buffers };
        // SAFETY: as above.
        unsafe { self.attention.launch(stream, &buffers) }
    }
}

/// Compares what the last of all layers gives with the reference.
fn check(gpu: &Gpu, work: &ChainWork, candidate: Candidate) -> anyhow::Result<()> {
    let job = ChainJob::new(gpu, work, candidate)?;
    for turn in 0..job.turns() {
        // SAFETY: the launches have ended when the status has been read.
        unsafe { job.launch(&gpu.stream, turn)? };
    }
    require_no_fault(&job, &gpu.stream)?;
    let DeviceItems::Rounded(items) = &job.output.items else { bail!("the output is not of 16-bit items") };
    let items = items.download(&gpu.stream)?;
    let input = AttentionInput::uniform(&work.problem, work.context, SEED)?;
    let reference = reference::attention(&work.problem, &input.arrays())?;
    compare_output(&work.problem, &input.arrays(), &reference, Output::Rounded(&items))?;
    Ok(())
}
