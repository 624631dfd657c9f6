//! Acceptance on a GPU. Scores exceed the L2 cache, but for a single sequence's, of which there are several in turn.

use anyhow::Context as _;
use dustin::{
    accept::{
        compare::{Accepted, compare},
        launch::{AcceptPlan, default_variants},
        synthetic::AcceptInput,
    },
    cuda::{AcceptKernel, CudaError, DeviceAcceptInput, DeviceAcceptOutput, DeviceBuffer, Stream, Workspace},
};
use dustin_kernels::registry::ACCEPT_WALK;

use super::{Gpu, GpuBench, Job};
use crate::accept::AcceptWork;

/// Prepares `work`, which is checked on a small one.
pub(super) fn bench<'a>(gpu: &'a Gpu, work: &AcceptWork) -> anyhow::Result<GpuBench<'a>> {
    let input = work.small().input()?;
    let small = AcceptJob::new(gpu, &work.small(), &input)?;
    gpu.launch(&small)?;
    small.check(&gpu.stream, &input).context(small.label())?;
    GpuBench::new(gpu, AcceptJob::new(gpu, work, &work.input()?)?, work.bytes())
}

#[derive(Debug)]
struct AcceptJob {
    kernel: AcceptKernel,
    workspace: Workspace,
    inputs: Vec<DeviceAcceptInput>,
    output: DeviceAcceptOutput,
}

impl AcceptJob {
    fn new(gpu: &Gpu, work: &AcceptWork, input: &AcceptInput) -> anyhow::Result<Self> {
        let (stream, device) = (&gpu.stream, gpu.modules.device());
        let (rows, default) = default_variants(&device.limits())?;
        let walk = match work.cluster {
            None => default,
            Some(cluster) => ACCEPT_WALK.iter().find(|walk| walk.cluster == cluster).context("a variant")?,
        };
        let plan = AcceptPlan::new(&input.problem, rows, walk)?;
        let turns = 1 + (2 * device.l2_bytes).div_ceil(work.bytes());
        let upload = |_| DeviceAcceptInput::upload(stream, &input.problem, &input.arrays());
        Ok(Self {
            workspace: Workspace::allocate(stream, &plan)?,
            kernel: AcceptKernel::new(&gpu.modules, plan)?,
            inputs: (0..turns).map(upload).collect::<Result<_, _>>()?,
            output: DeviceAcceptOutput::allocate(stream, &input.problem, &input.strides)?,
        })
    }

    /// Compares what the first launch has left with the reference.
    fn check(&self, stream: &Stream, input: &AcceptInput) -> anyhow::Result<()> {
        let Self { output, .. } = self;
        let items = |array: &DeviceBuffer<i32>| array.download(stream);
        let given = Accepted {
            accepted: items(&output.accepted)?,
            emitted: items(&output.emitted)?,
            path: items(&output.path)?,
            last_rows: items(&output.last_rows)?,
            new_lengths: output.new_lengths.as_ref().map(items).transpose()?,
            step: input.step.wrapping_add(1),
            status: 0,
        };
        Ok(compare(&input.problem, &input.arrays(), &given)?)
    }
}

impl Job for AcceptJob {
    fn label(&self) -> String {
        let plan = self.kernel.plan();
        format!("{}, {}", plan.rows().id, plan.walk().id)
    }

    fn turns(&self) -> u32 {
        self.inputs.len() as u32
    }

    fn workspaces(&self) -> Vec<&Workspace> {
        vec![&self.workspace]
    }

    unsafe fn launch(&self, stream: &Stream, turn: u32) -> Result<(), CudaError> {
        let input = &self.inputs[turn as usize % self.inputs.len()];
        let buffers = input.buffers(&self.output, &self.workspace);
        // SAFETY: arrays and workspace are the job's own, of the plan's shapes; the rest is the caller's promise.
        unsafe { self.kernel.launch(stream, &buffers) }
    }
}
