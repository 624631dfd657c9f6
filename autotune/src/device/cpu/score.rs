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
    device::{Offers, judge::ScoreCase},
    search::Resources,
    task::Offer,
};

/// A case and the map that candidates write.
pub(super) struct ScoreSide {
    case: ScoreCase,
    map: Vec<f32>,
}

impl From<ScoreCase> for ScoreSide {
    fn from(case: ScoreCase) -> Self {
        let map = case.input.map.clone();
        Self { case, map }
    }
}

impl Side for ScoreSide {
    type Candidate = Candidate;

    fn poison(&mut self) {
        // NaN wherever a score must be written, or what it is added to.
        self.map.copy_from_slice(&self.case.input.map);
    }

    fn run(&mut self, backend: &mut CpuBackend, candidate: &Candidate) -> Result<u64, InvalidInput> {
        let input = &self.case.input;
        backend.score(&input.problem, candidate, &input.arrays(), &mut self.map)
    }

    fn spoil(&mut self, byte: u8) {
        self.map.fill(f32::from_ne_bytes([byte; 4]));
    }

    fn judge(&self) -> Result<(), String> {
        self.case.judge(&self.map)
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
