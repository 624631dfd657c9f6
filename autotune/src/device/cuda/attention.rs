//! Sparse attention on a GPU.

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    attention::{
        arrays::LogBase,
        launch::AttentionPlan,
        problem::AttentionProblem,
        space::{self, Candidate},
        synthetic::{AttentionInput, Rotation, disjoint_sets},
    },
    cuda::{
        AttentionKernel, CudaError, DeviceBuffer, DeviceInput, DeviceItems, DeviceOutput, ModuleCache,
        Stream, Workspace,
    },
    limits::DeviceLimits,
};

use super::{Cuda, Side, excluded, prior};
use crate::{
    device::{
        Offers,
        judge::{AttentionCase, AttentionWritten, Guarded},
    },
    search::Resources,
    task::{Offer, Task},
};

/// A case and its arrays on the device.
pub(super) struct AttentionSide {
    case: AttentionCase,
    input: DeviceInput,
    /// Caches beyond the input's own.
    more_caches: Vec<DeviceInput>,
    /// Sets for every cache, in turns.
    sets: Vec<DeviceBuffer<i32>>,
}

impl AttentionSide {
    fn new(stream: &Stream, mut case: AttentionCase) -> Result<Self, CudaError> {
        let input = DeviceInput::upload(stream, &case.input.problem, &case.input.arrays())?;
        case.drop_caches();
        Ok(Self { case, input, more_caches: Vec::new(), sets: Vec::new() })
    }

    /// The small awkward problem, and the timed one with inputs that take turns, so that no launch finds its tokens in the
    /// L2 cache.
    pub(super) fn both(
        device: &Cuda,
        task: &Task,
        problem: &AttentionProblem,
        seed: u64,
    ) -> anyhow::Result<(Self, Self)> {
        let stream = &device.stream;
        let rotation = Rotation::new(problem, task.context, device.info().l2_bytes);
        let room = || {
            let bytes = problem.kv.extent() * 4;
            format!("{} needs {} KV caches of {bytes} bytes", task.name, rotation.caches)
        };
        let case = AttentionCase::awkward(&problem.into(), seed)?;
        let awkward = Self::new(stream, case).with_context(room)?;
        let case = AttentionCase::timed(problem, task.context, seed)?;
        let mut timed = Self::new(stream, case).with_context(room)?;
        for cache in 1..rotation.caches {
            let input = AttentionInput::uniform(problem, task.context, seed.wrapping_add(cache.into()))?;
            let input = DeviceInput::upload(stream, problem, &input.arrays()).with_context(room)?;
            timed.more_caches.push(input);
        }
        for set in disjoint_sets(problem, task.context, rotation.sets, seed) {
            timed.sets.push(DeviceBuffer::of(stream, &set).with_context(room)?);
        }
        Ok((awkward, timed))
    }
}

impl Side for AttentionSide {
    type Case = AttentionCase;
    /// Its arrays lie between their bands.
    type Output = DeviceOutput;
    type Candidate = Candidate;
    type Plan = AttentionPlan;
    type Kernel = AttentionKernel;

    fn case(&self) -> &AttentionCase {
        &self.case
    }

    fn plan(&self, candidate: Candidate) -> Result<AttentionPlan, InvalidInput> {
        AttentionPlan::new(&self.case.input.problem, candidate.variant, candidate.splits)
    }

    fn compile(modules: &ModuleCache, plan: AttentionPlan) -> Result<AttentionKernel, CudaError> {
        AttentionKernel::new(modules, plan)
    }

    fn turns(&self) -> u32 {
        ((1 + self.more_caches.len()) * self.sets.len().max(1)) as u32
    }

    fn upload(stream: &Stream, written: &AttentionWritten) -> Result<DeviceOutput, CudaError> {
        let items = DeviceItems::Rounded(DeviceBuffer::of(stream, written.output.whole())?);
        let lse = written.lse.as_ref().map(|lse| DeviceBuffer::of(stream, lse.whole())).transpose()?;
        Ok(DeviceOutput { items, lse, lse_base: LogBase::E })
    }

    fn renew(
        stream: &Stream,
        output: &mut DeviceOutput,
        unwritten: &AttentionWritten,
    ) -> Result<(), CudaError> {
        if let DeviceItems::Rounded(items) = &mut output.items {
            items.upload(stream, 0, unwritten.output.whole())?;
        }
        match (&mut output.lse, &unwritten.lse) {
            (Some(lse), Some(unwritten)) => lse.upload(stream, 0, unwritten.whole()),
            _ => Ok(()),
        }
    }

    fn download(stream: &Stream, output: &DeviceOutput) -> Result<AttentionWritten, CudaError> {
        let items = match &output.items {
            DeviceItems::Rounded(items) => items.download(stream)?,
            DeviceItems::F32(_) => Vec::new(),
        };
        let lse = output.lse.as_ref().map(|lse| lse.download(stream)).transpose()?;
        Ok(AttentionWritten { output: Guarded::of_whole(items), lse: lse.map(Guarded::of_whole) })
    }

    unsafe fn launch(
        &self,
        stream: &Stream,
        kernel: &AttentionKernel,
        workspace: &Workspace,
        output: &DeviceOutput,
        turn: Option<u32>,
    ) -> Result<(), CudaError> {
        let mut buffers = self.input.buffers(output, workspace);
        if let Some(turn) = turn {
            let (cache, set) =
                (turn as usize / self.sets.len().max(1), turn as usize % self.sets.len().max(1));
            if let Some(cache) = cache.checked_sub(1).and_then(|more| self.more_caches.get(more)) {
                buffers = cache.buffers(output, workspace);
            }
            if let Some(set) = self.sets.get(set) {
                buffers.set = set.address();
            }
        }
        buffers.output += Guarded::<u16>::OFFSET;
        if output.lse.is_some() {
            buffers.lse += Guarded::<f32>::OFFSET;
        }
        // As in a step's layers, whose launches overlap: no launch writes what the next one reads before it waits.
        buffers.stable = true;
        // SAFETY: the arrays are this side's own, of its problem's shape, as the sets are; outputs begin behind their first
        // band; the rest is the caller's promise.
        unsafe { kernel.launch(stream, &buffers) }
    }
}

pub(super) fn points(problem: &AttentionProblem, limits: &DeviceLimits) -> Result<Offers, InvalidInput> {
    let (legal, left_out) = space::candidates(problem, limits)?;
    let offer = |candidate: Candidate| {
        let plan = AttentionPlan::new(problem, candidate.variant, candidate.splits)?;
        let resources = Resources {
            workspace: plan.workspace_bytes(),
            shared: plan.shared_bytes().into(),
            threads: plan.threads().into(),
        };
        let launch =
            prior::Launch { grid: plan.grid(), threads: plan.threads(), shared: plan.shared_bytes() };
        let expected_us = Some(launch.microseconds(problem.bytes(), limits));
        Ok(Offer { variant: candidate.variant.id, launch: candidate.into(), resources, expected_us })
    };
    let offers = legal.into_iter().map(offer).collect::<Result<_, InvalidInput>>()?;
    let left_out = left_out.into_iter().map(|exclusion| excluded(exclusion.candidate, &exclusion.reason));
    Ok((offers, left_out.collect()))
}
