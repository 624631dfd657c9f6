//! Scoring on a GPU.

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    cuda::{CudaError, DeviceBuffer, DeviceScoreInput, ModuleCache, ScoreKernel, Stream, Workspace},
    limits::DeviceLimits,
    score::{
        launch::ScorePlan,
        problem::ScoreProblem,
        space::{self, Candidate},
        synthetic::{ScoreInput, turns},
    },
};

use super::{Cuda, Side, excluded, prior};
use crate::{
    device::{
        Offers,
        judge::{Guarded, ScoreCase, ScoreWritten},
    },
    search::Resources,
    task::{Offer, Task},
};

/// A case and its arrays on the device.
pub(super) struct ScoreSide {
    case: ScoreCase,
    /// The case's own, and further ones that take turns with it.
    inputs: Vec<DeviceScoreInput>,
}

impl ScoreSide {
    fn new(stream: &Stream, mut case: ScoreCase) -> Result<Self, CudaError> {
        let input = DeviceScoreInput::upload(stream, &case.input.problem, &case.input.arrays())?;
        case.drop_caches();
        Ok(Self { case, inputs: vec![input] })
    }

    /// The small awkward problem, and the timed one with inputs that take turns, so that no launch finds its keys in the
    /// L2 cache.
    pub(super) fn both(
        device: &Cuda,
        task: &Task,
        problem: &ScoreProblem,
        seed: u64,
    ) -> anyhow::Result<(Self, Self)> {
        let stream = &device.stream;
        let inputs = turns(problem, device.info().l2_bytes);
        let room = || {
            let bytes = problem.kv.extent() * 2 * problem.sources.len() as u64;
            format!("{} needs {inputs} times {bytes} bytes of keys", task.name)
        };
        let awkward = Self::new(stream, ScoreCase::awkward(&problem.into(), seed)?).with_context(room)?;
        let case = ScoreCase::timed(problem, task.context, seed)?;
        let mut timed = Self::new(stream, case).with_context(room)?;
        for input in 1..inputs {
            let input = ScoreInput::uniform(problem, task.context, seed.wrapping_add(input.into()))?;
            let input = DeviceScoreInput::upload(stream, problem, &input.arrays()).with_context(room)?;
            timed.inputs.push(input);
        }
        Ok((awkward, timed))
    }
}

impl Side for ScoreSide {
    type Case = ScoreCase;
    /// The map between its bands.
    type Output = DeviceBuffer<f32>;
    type Candidate = Candidate;
    type Plan = ScorePlan;
    type Kernel = ScoreKernel;

    fn case(&self) -> &ScoreCase {
        &self.case
    }

    fn plan(&self, Candidate { logits, fold, splits }: Candidate) -> Result<ScorePlan, InvalidInput> {
        ScorePlan::new(&self.case.input.problem, logits, fold, splits)
    }

    fn compile(modules: &ModuleCache, plan: ScorePlan) -> Result<ScoreKernel, CudaError> {
        ScoreKernel::new(modules, plan)
    }

    fn turns(&self) -> u32 {
        self.inputs.len() as u32
    }

    fn upload(stream: &Stream, ScoreWritten(map): &ScoreWritten) -> Result<DeviceBuffer<f32>, CudaError> {
        DeviceBuffer::of(stream, map.whole())
    }

    fn renew(
        stream: &Stream,
        output: &mut DeviceBuffer<f32>,
        ScoreWritten(unwritten): &ScoreWritten,
    ) -> Result<(), CudaError> {
        output.upload(stream, 0, unwritten.whole())
    }

    fn download(stream: &Stream, output: &DeviceBuffer<f32>) -> Result<ScoreWritten, CudaError> {
        Ok(ScoreWritten(Guarded::of_whole(output.download(stream)?)))
    }

    unsafe fn launch(
        &self,
        stream: &Stream,
        kernel: &ScoreKernel,
        workspace: &Workspace,
        output: &DeviceBuffer<f32>,
        turn: Option<u32>,
    ) -> Result<(), CudaError> {
        let input = turn.unwrap_or(0) as usize % self.inputs.len();
        let mut buffers = self.inputs[input].buffers(output, workspace);
        buffers.map += Guarded::<f32>::OFFSET;
        // SAFETY: the arrays are this side's own, of its problem's shape, the map behind its first band; the rest is the
        // caller's promise.
        unsafe { kernel.launch(stream, &buffers) }
    }
}

pub(super) fn points(problem: &ScoreProblem, limits: &DeviceLimits) -> Result<Offers, InvalidInput> {
    let (legal, left_out) = space::candidates(problem, limits)?;
    let offer = |candidate: Candidate| {
        let plan = ScorePlan::new(problem, candidate.logits, candidate.fold, candidate.splits)?;
        let sources = 0..problem.sources.len();
        let shared = sources.map(|source| plan.shared_bytes(source)).max().unwrap_or(0);
        let resources = Resources {
            workspace: plan.workspace_bytes(),
            shared: u64::from(shared) + u64::from(plan.fold_shared_bytes()),
            threads: u64::from(plan.threads()) + u64::from(plan.fold_threads()),
        };
        // The fold reads logits that have just been written: its blocks count, its bytes do not.
        let (grid, threads) = (plan.fold_grid(), plan.fold_threads());
        let fold = prior::Launch { grid, threads, shared: plan.fold_shared_bytes() };
        let sources = (0..problem.sources.len()).map(|source| {
            let shared = plan.shared_bytes(source);
            let launch = prior::Launch { grid: plan.grid(), threads: plan.threads(), shared };
            launch.microseconds(problem.bytes() / problem.sources.len() as u64, limits)
        });
        let expected_us = Some(sources.sum::<f64>() + fold.microseconds(0, limits));
        Ok(Offer { variant: candidate.logits.id, launch: candidate.into(), resources, expected_us })
    };
    let offers = legal.into_iter().map(offer).collect::<Result<_, InvalidInput>>()?;
    let left_out = left_out.into_iter().map(|exclusion| excluded(exclusion.candidate, &exclusion.reason));
    Ok((offers, left_out.collect()))
}
