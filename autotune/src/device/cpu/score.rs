//! Scoring on the CPU.

use std::time::Duration;

use dustin::{
    InvalidInput,
    cpu::{
        CpuBackend, CpuLimits,
        score::{Candidate, candidates},
    },
    score::problem::ScoreProblem,
};

use super::{Side, excluded};
use crate::{
    device::{
        Offers,
        judge::{ScoreCase, ScoreWritten},
    },
    search::Resources,
    task::Offer,
};

impl Side for ScoreCase {
    type Candidate = Candidate;

    fn run(
        &self,
        backend: &mut CpuBackend,
        candidate: &Candidate,
        ScoreWritten(map): &mut ScoreWritten,
    ) -> Result<u64, InvalidInput> {
        backend.score(&self.input.problem, candidate, &self.input.arrays(), map.items_mut())
    }
}

pub(super) fn points(problem: &ScoreProblem, limits: CpuLimits) -> Result<Offers, InvalidInput> {
    let (legal, left_out) = candidates(problem, limits)?;
    let offer = |candidate: Candidate| {
        let threads = u64::from(candidate.threads);
        // A tile of keys, in fp32, for each thread.
        let tile = u64::from(candidate.variant.tokens) * u64::from(problem.kv.head_dim) * 4;
        let resources = Resources { workspace: 0, shared: threads * tile, threads };
        Offer { variant: candidate.variant.id, launch: candidate.into(), resources, expected_us: None }
    };
    let left_out = left_out.into_iter().map(|exclusion| excluded(exclusion.candidate, exclusion.reason));
    Ok((legal.into_iter().map(offer).collect(), left_out.collect()))
}

/// About how long one run takes: a product for each column and token at some 10⁹ multiplications a second and thread, and
/// an exponential.
pub(super) fn run_time(problem: &ScoreProblem, threads: u32) -> Duration {
    let columns: f64 = problem.sources.iter().map(|source| f64::from(problem.columns(source))).sum();
    let products = columns * f64::from(problem.map_capacity) * f64::from(problem.kv.head_dim + 16);
    Duration::from_secs_f64(products / 1e9 / f64::from(threads))
}
