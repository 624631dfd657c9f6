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

use super::{Cuda, Side, bench::failure, excluded, prior};
use crate::{
    device::{Offers, judge::ScoreCase},
    search::{Failure, Resources},
    task::{Offer, Task},
};

/// A case and its arrays on the device.
pub(super) struct ScoreSide {
    case: ScoreCase,
    /// The case's own, and further ones that take turns with it.
    inputs: Vec<DeviceScoreInput>,
    map: DeviceBuffer<f32>,
}

impl ScoreSide {
    fn new(stream: &Stream, mut case: ScoreCase) -> Result<Self, CudaError> {
        let input = DeviceScoreInput::upload(stream, &case.input.problem, &case.input.arrays())?;
        case.drop_caches();
        let map = DeviceBuffer::of(stream, &case.input.map)?;
        Ok(Self { case, inputs: vec![input], map })
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
    type Candidate = Candidate;
    type Plan = ScorePlan;
    type Kernel = ScoreKernel;

    fn plan(&self, Candidate { logits, fold, splits }: Candidate) -> Result<ScorePlan, InvalidInput> {
        ScorePlan::new(&self.case.input.problem, logits, fold, splits)
    }

    fn compile(modules: &ModuleCache, plan: ScorePlan) -> Result<ScoreKernel, CudaError> {
        ScoreKernel::new(modules, plan)
    }

    fn turns(&self) -> u32 {
        self.inputs.len() as u32
    }

    fn poison(&mut self, stream: &Stream) -> Result<(), CudaError> {
        // NaN wherever a score must be written, or what it is added to.
        self.map.upload(stream, 0, &self.case.input.map)
    }

    unsafe fn launch(
        &self,
        stream: &Stream,
        kernel: &ScoreKernel,
        workspace: &Workspace,
        turn: Option<u32>,
    ) -> Result<(), CudaError> {
        let input = turn.unwrap_or(0) as usize % self.inputs.len();
        let buffers = self.inputs[input].buffers(&self.map, workspace);
        // SAFETY: the arrays are this side's own, of its problem's shape; the rest is the caller's promise.
        unsafe { kernel.launch(stream, &buffers) }
    }

    fn spoil(&mut self, stream: &Stream, byte: u8) -> Result<(), CudaError> {
        self.map.fill(stream, byte)
    }

    fn judge(&self, stream: &Stream) -> Result<(), Failure> {
        let map = self.map.download(stream).map_err(failure)?;
        self.case.judge(&map).map_err(Failure::Candidate)
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
