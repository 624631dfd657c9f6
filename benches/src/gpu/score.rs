//! Scoring on a GPU: as many inputs take turns as exceed the L2 cache.

use anyhow::Context as _;
use dustin::{
    cuda::{CudaError, DeviceBuffer, DeviceScoreInput, ScoreKernel, Stream, Workspace},
    score::{
        compare::compare_map,
        launch::ScorePlan,
        problem::ScoreProblem,
        reference,
        space::{Candidate, default_candidate},
        synthetic::{ScoreInput, turns},
    },
};

use super::{Gpu, GpuBench, Job};
use crate::{SEED, small};

/// Prepares `problem`, whose choice is checked on a small one.
pub(super) fn bench<'a>(gpu: &'a Gpu, problem: &ScoreProblem, context: u32) -> anyhow::Result<GpuBench<'a>> {
    let candidate = default_candidate(problem, &gpu.modules.device().limits())?;
    let (small, length) = small::score(problem, context);
    check(gpu, &small, length, candidate).with_context(|| format!("{candidate} is wrong"))?;
    GpuBench::new(gpu, ScoreJob::new(gpu, problem, context, candidate)?, problem.bytes())
}

#[derive(Debug)]
struct ScoreJob {
    candidate: Candidate,
    kernel: ScoreKernel,
    workspace: Workspace,
    inputs: Vec<DeviceScoreInput>,
    map: DeviceBuffer<f32>,
}

impl ScoreJob {
    fn new(gpu: &Gpu, problem: &ScoreProblem, context: u32, candidate: Candidate) -> anyhow::Result<Self> {
        let stream = &gpu.stream;
        let inputs = (0..turns(problem, gpu.modules.device().l2_bytes))
            .map(|input| {
                let input = ScoreInput::uniform(problem, context, SEED + u64::from(input))?;
                Ok(DeviceScoreInput::upload(stream, problem, &input.arrays())?)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let plan = ScorePlan::new(problem, candidate.logits, candidate.fold, candidate.splits)?;
        let workspace = Workspace::allocate(stream, &plan)?;
        let kernel = ScoreKernel::new(&gpu.modules, plan)?;
        let map = DeviceScoreInput::map(stream, problem)?;
        Ok(Self { candidate, kernel, workspace, inputs, map })
    }
}

impl Job for ScoreJob {
    fn label(&self) -> String {
        self.candidate.to_string()
    }

    fn turns(&self) -> u32 {
        self.inputs.len() as u32
    }

    fn workspaces(&self) -> Vec<&Workspace> {
        vec![&self.workspace]
    }

    unsafe fn launch(&self, stream: &Stream, turn: u32) -> Result<(), CudaError> {
        let buffers = self.inputs[turn as usize % self.inputs.len()].buffers(&self.map, &self.workspace);
        // SAFETY: arrays and workspace are the job's own, of the plan's shapes; the rest is the caller's promise.
        unsafe { self.kernel.launch(stream, &buffers) }
    }
}

/// Compares one launch with the reference.
fn check(gpu: &Gpu, problem: &ScoreProblem, context: u32, candidate: Candidate) -> anyhow::Result<()> {
    let job = ScoreJob::new(gpu, problem, context, candidate)?;
    gpu.launch(&job)?;
    let map = job.map.download(&gpu.stream)?;
    let input = ScoreInput::uniform(problem, context, SEED)?;
    let reference = reference::score(problem, &input.arrays(), &input.map)?;
    compare_map(problem, &reference, &input.map, &map)?;
    Ok(())
}
