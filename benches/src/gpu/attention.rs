//! Sparse attention on a GPU: disjoint sets of few caches take turns.

use anyhow::{Context as _, bail};
use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        compare::{Output, compare_output},
        launch::AttentionPlan,
        problem::AttentionProblem,
        reference,
        space::{Candidate, default_candidate},
        synthetic::{AttentionInput, Rotation, disjoint_sets},
    },
    cuda::{
        AttentionKernel, CudaError, DeviceBuffer, DeviceInput, DeviceItems, DeviceOutput, Stream, Workspace,
    },
};

use super::{Gpu, GpuBench, Job};
use crate::{SEED, small};

/// Prepares `problem`, whose choice is checked on a small one.
pub(super) fn bench<'a>(
    gpu: &'a Gpu,
    problem: &AttentionProblem,
    context: u32,
) -> anyhow::Result<GpuBench<'a>> {
    let candidate = default_candidate(problem, &gpu.modules.device().limits())?;
    let (small, length) = small::attention(problem, context);
    check(gpu, &small, length, candidate).with_context(|| format!("{candidate} is wrong"))?;
    GpuBench::new(gpu, AttentionJob::new(gpu, problem, context, candidate)?, problem.bytes())
}

#[derive(Debug)]
struct AttentionJob {
    candidate: Candidate,
    kernel: AttentionKernel,
    workspace: Workspace,
    caches: Vec<DeviceInput>,
    /// Sets of every cache.
    sets: Vec<DeviceBuffer<i32>>,
    output: DeviceOutput,
}

impl AttentionJob {
    fn new(
        gpu: &Gpu,
        problem: &AttentionProblem,
        context: u32,
        candidate: Candidate,
    ) -> anyhow::Result<Self> {
        let stream = &gpu.stream;
        let rotation = Rotation::new(problem, context, gpu.modules.device().l2_bytes);
        let caches = (0..rotation.caches)
            .map(|cache| {
                let input = AttentionInput::uniform(problem, context, SEED + u64::from(cache))?;
                Ok(DeviceInput::upload(stream, problem, &input.arrays())?)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let sets = disjoint_sets(problem, context, rotation.sets, SEED)
            .iter()
            .map(|set| DeviceBuffer::of(stream, set))
            .collect::<Result<Vec<_>, _>>()?;
        let plan = AttentionPlan::new(problem, candidate.variant, candidate.splits)?;
        let workspace = Workspace::allocate(stream, &plan)?;
        let kernel = AttentionKernel::new(&gpu.modules, plan)?;
        let output =
            DeviceOutput::allocate(stream, problem, &caches[0].strides, OutputType::Rounded, LogBase::E)?;
        Ok(Self { candidate, kernel, workspace, caches, sets, output })
    }
}

impl Job for AttentionJob {
    fn label(&self) -> String {
        self.candidate.to_string()
    }

    fn turns(&self) -> u32 {
        (self.caches.len() * self.sets.len().max(1)) as u32
    }

    fn workspaces(&self) -> Vec<&Workspace> {
        vec![&self.workspace]
    }

    unsafe fn launch(&self, stream: &Stream, turn: u32) -> Result<(), CudaError> {
        let sets = self.sets.len().max(1);
        let (cache, set) = (turn as usize / sets, turn as usize % sets);
        let cache = &self.caches[cache % self.caches.len()];
        let mut buffers = cache.buffers(&self.output, &self.workspace);
        if let Some(set) = self.sets.get(set) {
            buffers.set = set.address();
        }
        // As in a step's layers, whose launches overlap.
        buffers.stable = true;
        // SAFETY: arrays and workspace are the job's own, of the plan's shapes; the rest is the caller's promise.
        unsafe { self.kernel.launch(stream, &buffers) }
    }
}

/// Compares one launch with the reference.
fn check(gpu: &Gpu, problem: &AttentionProblem, context: u32, candidate: Candidate) -> anyhow::Result<()> {
    let job = AttentionJob::new(gpu, problem, context, candidate)?;
    gpu.launch(&job)?;
    let DeviceItems::Rounded(items) = &job.output.items else { bail!("the output is not of 16-bit items") };
    let items = items.download(&gpu.stream)?;
    let mut input = AttentionInput::uniform(problem, context, SEED)?;
    if let Some(set) = disjoint_sets(problem, context, 1, SEED).first() {
        input.set.clone_from(set);
    }
    let reference = reference::attention(problem, &input.arrays())?;
    compare_output(problem, &input.arrays(), &reference, Output::Rounded(&items))?;
    Ok(())
}
