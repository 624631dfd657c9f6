//! Selection on a GPU: one input, whose maps stay in the L2 cache as far as they fit, as if they had just been written.

use anyhow::Context as _;
use dustin::{
    cuda::{CudaError, DeviceSelectInput, DeviceSelectOutput, SelectKernel, Stream, Workspace},
    select::{
        compare::{Selected, compare},
        launch::SelectPlan,
        problem::SelectProblem,
        reference,
        space::{Candidate, default_candidate},
        synthetic::SelectInput,
    },
};

use super::{Gpu, GpuBench, Job};
use crate::{SEED, small};

/// Prepares `problem`, whose choice is checked on a small one.
pub(super) fn bench<'a>(gpu: &'a Gpu, problem: &SelectProblem, context: u32) -> anyhow::Result<GpuBench<'a>> {
    let candidate = default_candidate(problem, &gpu.modules.device().limits())?;
    let (small, length) = small::select(problem, context);
    check(gpu, &small, length, candidate).with_context(|| format!("{candidate} is wrong"))?;
    GpuBench::new(gpu, SelectJob::new(gpu, problem, context, candidate)?, problem.bytes())
}

#[derive(Debug)]
struct SelectJob {
    candidate: Candidate,
    kernel: SelectKernel,
    workspace: Workspace,
    input: DeviceSelectInput,
    output: DeviceSelectOutput,
}

impl SelectJob {
    fn new(gpu: &Gpu, problem: &SelectProblem, context: u32, candidate: Candidate) -> anyhow::Result<Self> {
        let stream = &gpu.stream;
        let input = SelectInput::uniform(problem, context, SEED)?;
        let plan = SelectPlan::new(problem, candidate.variant, candidate.cluster)?;
        let workspace = Workspace::allocate(stream, &plan)?;
        Ok(Self {
            candidate,
            kernel: SelectKernel::new(&gpu.modules, plan)?,
            workspace,
            input: DeviceSelectInput::upload(stream, problem, &input.arrays())?,
            output: DeviceSelectOutput::allocate(stream, problem, &input.strides)?,
        })
    }
}

impl Job for SelectJob {
    fn label(&self) -> String {
        self.candidate.to_string()
    }

    fn turns(&self) -> u32 {
        1
    }

    fn workspaces(&self) -> Vec<&Workspace> {
        vec![&self.workspace]
    }

    unsafe fn launch(&self, stream: &Stream, _: u32) -> Result<(), CudaError> {
        let buffers = self.input.buffers(&self.output, &self.workspace);
        // SAFETY: arrays and workspace are the job's own, of the plan's shapes; the rest is the caller's promise.
        unsafe { self.kernel.launch(stream, &buffers) }
    }
}

/// Compares one launch with the reference.
fn check(gpu: &Gpu, problem: &SelectProblem, context: u32, candidate: Candidate) -> anyhow::Result<()> {
    let job = SelectJob::new(gpu, problem, context, candidate)?;
    gpu.launch(&job)?;
    let DeviceSelectOutput { set, physical, set_sizes } = &job.output;
    let physical = physical.as_ref().map(|items| items.download(&gpu.stream)).transpose()?;
    let (set, set_sizes) = (set.download(&gpu.stream)?, set_sizes.download(&gpu.stream)?);
    let input = SelectInput::uniform(problem, context, SEED)?;
    let reference = reference::select(problem, &input.arrays())?;
    // Every set is full: there is nothing behind one.
    compare(problem, &input.strides, &reference, &Selected { set, physical, set_sizes, status: 0 })?;
    Ok(())
}
