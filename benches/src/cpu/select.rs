//! Selection on the CPU.

use dustin::{
    cpu::{
        CpuBackend, CpuLimits,
        select::{Candidate, default_candidate},
    },
    select::{
        arrays::SelectOutput,
        compare::{Selected, compare},
        problem::SelectProblem,
        reference,
        synthetic::SelectInput,
    },
};

use super::{Job, Jobs};
use crate::{SEED, small};

#[derive(Debug)]
struct SelectJob {
    candidate: Candidate,
    input: SelectInput,
    selected: Selected,
}

pub(super) fn jobs(problem: &SelectProblem, context: u32, limits: CpuLimits) -> anyhow::Result<Jobs> {
    let candidate = default_candidate(problem, limits)?;
    let job = |problem: &SelectProblem, context| {
        let input = SelectInput::uniform(problem, context, SEED)?;
        let selected = Selected::unwritten(problem, &input.strides);
        anyhow::Ok(Box::new(SelectJob { candidate, input, selected }))
    };
    let (small, length) = small::select(problem, context);
    Ok((job(&small, length)?, job(problem, context)?))
}

impl Job for SelectJob {
    fn label(&self) -> String {
        self.candidate.to_string()
    }

    fn launch(&mut self, backend: &mut CpuBackend) -> anyhow::Result<u64> {
        let (input, Selected { set, physical, set_sizes, .. }) = (&self.input, &mut self.selected);
        let output = SelectOutput { set, physical: physical.as_deref_mut(), set_sizes };
        Ok(backend.select(&input.problem, &self.candidate, &input.arrays(), output)?)
    }

    fn check(&self) -> anyhow::Result<()> {
        let SelectInput { problem, strides, .. } = &self.input;
        let reference = reference::select(problem, &self.input.arrays())?;
        compare(problem, strides, &reference, &self.selected)?;
        Ok(())
    }
}
