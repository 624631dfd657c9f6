//! Selection on a GPU.

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    cuda::{
        CudaError, DeviceBuffer, DeviceSelectInput, DeviceSelectOutput, ModuleCache, SelectKernel, Stream,
        Workspace,
    },
    limits::DeviceLimits,
    select::{
        launch::SelectPlan,
        problem::SelectProblem,
        space::{self, Candidate},
    },
};

use super::{Side, excluded, prior};
use crate::{
    device::{
        Offers,
        judge::{Guarded, SelectCase, SelectWritten},
    },
    search::Resources,
    task::{Offer, Task},
};

/// A case and its arrays on the device. One input serves all launches: maps are selected from when scoring has just written
/// them.
pub(super) struct SelectSide {
    case: SelectCase,
    input: DeviceSelectInput,
}

impl SelectSide {
    fn new(stream: &Stream, case: SelectCase) -> Result<Self, CudaError> {
        let input = DeviceSelectInput::upload(stream, &case.input.problem, &case.input.arrays())?;
        Ok(Self { case, input })
    }

    /// The small awkward problem, and the timed one.
    pub(super) fn both(
        stream: &Stream,
        task: &Task,
        problem: &SelectProblem,
        seed: u64,
    ) -> anyhow::Result<(Self, Self)> {
        let room = || format!("{} needs {} bytes of maps", task.name, 8 * u64::from(problem.map_capacity));
        let awkward = SelectCase::awkward(&problem.into(), seed)?;
        let timed = SelectCase::timed(problem, task.context, seed)?;
        let awkward = Self::new(stream, awkward).with_context(room)?;
        Ok((awkward, Self::new(stream, timed).with_context(room)?))
    }
}

impl Side for SelectSide {
    type Case = SelectCase;
    /// Its arrays lie between their bands.
    type Output = DeviceSelectOutput;
    type Candidate = Candidate;
    type Plan = SelectPlan;
    type Kernel = SelectKernel;

    fn case(&self) -> &SelectCase {
        &self.case
    }

    fn plan(&self, candidate: Candidate) -> Result<SelectPlan, InvalidInput> {
        SelectPlan::new(&self.case.input.problem, candidate.variant, candidate.cluster)
    }

    fn compile(modules: &ModuleCache, plan: SelectPlan) -> Result<SelectKernel, CudaError> {
        SelectKernel::new(modules, plan)
    }

    fn turns(&self) -> u32 {
        1
    }

    fn upload(stream: &Stream, written: &SelectWritten) -> Result<DeviceSelectOutput, CudaError> {
        let array = |array: &Guarded<i32>| DeviceBuffer::of(stream, array.whole());
        Ok(DeviceSelectOutput {
            set: array(&written.set)?,
            physical: written.physical.as_ref().map(array).transpose()?,
            set_sizes: array(&written.sizes)?,
        })
    }

    fn renew(
        stream: &Stream,
        output: &mut DeviceSelectOutput,
        unwritten: &SelectWritten,
    ) -> Result<(), CudaError> {
        output.set.upload(stream, 0, unwritten.set.whole())?;
        output.set_sizes.upload(stream, 0, unwritten.sizes.whole())?;
        match (&mut output.physical, &unwritten.physical) {
            (Some(physical), Some(unwritten)) => physical.upload(stream, 0, unwritten.whole()),
            _ => Ok(()),
        }
    }

    fn download(stream: &Stream, output: &DeviceSelectOutput) -> Result<SelectWritten, CudaError> {
        let array = |array: &DeviceBuffer<i32>| array.download(stream).map(Guarded::of_whole);
        Ok(SelectWritten {
            set: array(&output.set)?,
            physical: output.physical.as_ref().map(array).transpose()?,
            sizes: array(&output.set_sizes)?,
        })
    }

    unsafe fn launch(
        &self,
        stream: &Stream,
        kernel: &SelectKernel,
        workspace: &Workspace,
        output: &DeviceSelectOutput,
        _: Option<u32>,
    ) -> Result<(), CudaError> {
        let mut buffers = self.input.buffers(output, workspace);
        buffers.set += Guarded::<i32>::OFFSET;
        buffers.set_sizes += Guarded::<i32>::OFFSET;
        if output.physical.is_some() {
            buffers.physical += Guarded::<i32>::OFFSET;
        }
        // SAFETY: the arrays are this side's own, of its problem's shape, each behind its first band; the rest is the caller's
        // promise.
        unsafe { kernel.launch(stream, &buffers) }
    }
}

pub(super) fn points(problem: &SelectProblem, limits: &DeviceLimits) -> Result<Offers, InvalidInput> {
    let (legal, left_out) = space::candidates(problem, limits)?;
    let offer = |candidate: Candidate| {
        let plan = SelectPlan::new(problem, candidate.variant, candidate.cluster)?;
        let cluster = u64::from(candidate.cluster);
        let resources = Resources {
            workspace: plan.workspace_bytes(),
            shared: cluster * u64::from(plan.shared_bytes()),
            threads: cluster * u64::from(plan.threads()),
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
