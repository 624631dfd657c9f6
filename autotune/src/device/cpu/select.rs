//! Selection on the CPU.

use std::time::Duration;

use dustin::{
    InvalidInput,
    cpu::{
        CpuBackend, CpuLimits,
        select::{Candidate, candidates},
    },
    select::{
        arrays::SelectOutput,
        compare::{Selected, UNWRITTEN},
        problem::SelectProblem,
    },
};

use super::{Side, excluded};
use crate::{
    device::{Offers, judge::SelectCase},
    search::Resources,
    task::Offer,
};

/// A case and the sets that candidates write.
pub(super) struct SelectSide {
    case: SelectCase,
    selected: Selected,
}

impl From<SelectCase> for SelectSide {
    fn from(case: SelectCase) -> Self {
        let selected = Selected::unwritten(&case.input.problem, &case.input.strides);
        Self { case, selected }
    }
}

impl Side for SelectSide {
    type Candidate = Candidate;

    fn poison(&mut self) {
        let Selected { set, physical, set_sizes, .. } = &mut self.selected;
        for array in [set, set_sizes].into_iter().chain(physical) {
            array.fill(UNWRITTEN);
        }
    }

    fn run(&mut self, backend: &mut CpuBackend, candidate: &Candidate) -> Result<u64, InvalidInput> {
        let (input, Selected { set, physical, set_sizes, .. }) = (&self.case.input, &mut self.selected);
        let output = SelectOutput { set, physical: physical.as_deref_mut(), set_sizes };
        backend.select(&input.problem, candidate, &input.arrays(), output)
    }

    fn spoil(&mut self, byte: u8) {
        self.selected.set.fill(i32::from_ne_bytes([byte; 4]));
    }

    fn judge(&self) -> Result<(), String> {
        self.case.judge(&self.selected)
    }
}

pub(super) fn points(problem: &SelectProblem, limits: CpuLimits) -> Result<Offers, InvalidInput> {
    let (legal, left_out) = candidates(problem, limits)?;
    let offer = |candidate: Candidate| {
        let threads = u64::from(candidate.threads);
        // A key for each position of a task.
        let chunk = u64::from(candidate.variant.chunk) * 4;
        let resources = Resources { workspace: 0, shared: threads * chunk, threads };
        Offer { variant: candidate.variant.id, launch: candidate.into(), resources, expected_us: None }
    };
    let left_out = left_out.into_iter().map(|exclusion| excluded(exclusion.candidate, exclusion.reason));
    Ok((legal.into_iter().map(offer).collect(), left_out.collect()))
}

/// About how long one run takes: some 10 ns for each position of the maps and thread.
pub(super) fn run_time(problem: &SelectProblem, threads: u32) -> Duration {
    Duration::from_secs_f64(2.0 * f64::from(problem.map_capacity) * 1e-8 / f64::from(threads))
}
