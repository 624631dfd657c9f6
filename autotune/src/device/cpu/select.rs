//! Selection on the CPU.

use std::time::Duration;

use dustin::{
    InvalidInput,
    cpu::{
        CpuBackend, CpuLimits,
        select::{Candidate, candidates},
    },
    select::{arrays::SelectOutput, problem::SelectProblem},
};

use super::{Side, excluded};
use crate::{
    device::{
        Offers,
        judge::{Guarded, SelectCase, SelectWritten},
    },
    search::Resources,
    task::Offer,
};

impl Side for SelectCase {
    type Candidate = Candidate;

    fn run(
        &self,
        backend: &mut CpuBackend,
        candidate: &Candidate,
        SelectWritten { set, physical, sizes }: &mut SelectWritten,
    ) -> Result<u64, InvalidInput> {
        let physical = physical.as_mut().map(Guarded::items_mut);
        let output = SelectOutput { set: set.items_mut(), physical, set_sizes: sizes.items_mut() };
        backend.select(&self.input.problem, candidate, &self.input.arrays(), output)
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
