//! Selection on a GPU.

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    cuda::{CudaError, DeviceSelectInput, DeviceSelectOutput, ModuleCache, SelectKernel, Stream, Workspace},
    limits::DeviceLimits,
    select::{
        compare::Selected,
        launch::SelectPlan,
        problem::SelectProblem,
        space::{self, Candidate},
    },
};

use super::{Side, bench::failure, excluded, prior};
use crate::{
    device::{Offers, judge::SelectCase},
    search::{Failure, Resources},
    task::{Offer, Task},
};

/// A case and its arrays on the device. One input serves all launches: maps are selected from when scoring has just written
/// them.
pub(super) struct SelectSide {
    case: SelectCase,
    input: DeviceSelectInput,
    output: DeviceSelectOutput,
}

impl SelectSide {
    fn new(stream: &Stream, case: SelectCase) -> Result<Self, CudaError> {
        let (problem, strides) = (&case.input.problem, &case.input.strides);
        let input = DeviceSelectInput::upload(stream, problem, &case.input.arrays())?;
        let output = DeviceSelectOutput::allocate(stream, problem, strides)?;
        Ok(Self { case, input, output })
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
    type Candidate = Candidate;
    type Plan = SelectPlan;
    type Kernel = SelectKernel;

    fn plan(&self, candidate: Candidate) -> Result<SelectPlan, InvalidInput> {
        SelectPlan::new(&self.case.input.problem, candidate.variant, candidate.cluster)
    }

    fn compile(modules: &ModuleCache, plan: SelectPlan) -> Result<SelectKernel, CudaError> {
        SelectKernel::new(modules, plan)
    }

    fn turns(&self) -> u32 {
        1
    }

    fn poison(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let unwritten = Selected::unwritten(&self.case.input.problem, &self.case.input.strides);
        self.output.set.upload(stream, 0, &unwritten.set)?;
        self.output.set_sizes.upload(stream, 0, &unwritten.set_sizes)?;
        match (&mut self.output.physical, &unwritten.physical) {
            (Some(physical), Some(items)) => physical.upload(stream, 0, items),
            _ => Ok(()),
        }
    }

    unsafe fn launch(
        &self,
        stream: &Stream,
        kernel: &SelectKernel,
        workspace: &Workspace,
        _: Option<u32>,
    ) -> Result<(), CudaError> {
        let buffers = self.input.buffers(&self.output, workspace);
        // SAFETY: the arrays are this side's own, of its problem's shape; the rest is the caller's promise.
        unsafe { kernel.launch(stream, &buffers) }
    }

    fn spoil(&mut self, stream: &Stream, byte: u8) -> Result<(), CudaError> {
        self.output.set.fill(stream, byte)
    }

    fn judge(&self, stream: &Stream) -> Result<(), Failure> {
        let DeviceSelectOutput { set, physical, set_sizes } = &self.output;
        let physical = physical.as_ref().map(|items| items.download(stream)).transpose();
        let selected = Selected {
            set: set.download(stream).map_err(failure)?,
            physical: physical.map_err(failure)?,
            set_sizes: set_sizes.download(stream).map_err(failure)?,
            // A fault would have been reported already.
            status: 0,
        };
        self.case.judge(&selected).map_err(Failure::Candidate)
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
