//! Sparse attention on the CPU.

use std::time::Duration;

use dustin::{
    InvalidInput,
    attention::{arrays::LogBase, problem::AttentionProblem, synthetic::NAN},
    cpu::{self, CpuBackend, CpuCandidate, CpuLimits, LseMut, OutputMut},
};

use super::{Side, excluded};
use crate::{
    device::{Offers, judge::AttentionCase},
    search::Resources,
    task::Offer,
};

/// A case and what candidates write.
pub(super) struct AttentionSide {
    case: AttentionCase,
    output: Vec<u16>,
    lse: Vec<f32>,
}

impl From<AttentionCase> for AttentionSide {
    fn from(case: AttentionCase) -> Self {
        let output = vec![NAN; case.input.output_items()];
        let lse = vec![f32::NAN; if case.input.problem.lse { case.input.lse_items() } else { 0 }];
        Self { case, output, lse }
    }
}

impl Side for AttentionSide {
    type Candidate = CpuCandidate;

    fn poison(&mut self) {
        self.output.fill(NAN);
        self.lse.fill(f32::NAN);
    }

    fn run(&mut self, backend: &mut CpuBackend, candidate: &CpuCandidate) -> Result<u64, InvalidInput> {
        let input = &self.case.input;
        let lse = input.problem.lse.then_some(LseMut { items: &mut self.lse, base: LogBase::E });
        let output = OutputMut::Rounded(&mut self.output);
        backend.attention(&input.problem, candidate, &input.arrays(), output, lse)
    }

    fn spoil(&mut self, byte: u8) {
        self.output.fill(u16::from_ne_bytes([byte; 2]));
    }

    fn judge(&self) -> Result<(), String> {
        let lse = self.case.input.problem.lse.then_some(self.lse.as_slice());
        self.case.judge(&self.output, lse)
    }
}

pub(super) fn points(problem: &AttentionProblem, limits: CpuLimits) -> Result<Offers, InvalidInput> {
    let (legal, left_out) = cpu::candidates(problem, limits)?;
    let offer = |candidate: CpuCandidate| {
        let threads = u64::from(candidate.threads);
        // A tile of keys and one of values, in fp32, for each thread.
        let tile = u64::from(candidate.variant.tokens) * u64::from(problem.kv.head_dim) * 8;
        let resources = Resources { workspace: u64::from(candidate.splits), shared: threads * tile, threads };
        Offer { variant: candidate.variant.id, launch: candidate.into(), resources, expected_us: None }
    };
    let left_out = left_out.into_iter().map(|exclusion| excluded(exclusion.candidate, exclusion.reason));
    Ok((legal.into_iter().map(offer).collect(), left_out.collect()))
}

/// About how long one run takes: two products for each query column and token, at some 10⁹ multiplications a second and
/// thread.
pub(super) fn run_time(problem: &AttentionProblem, threads: u32) -> Duration {
    let columns = f64::from(problem.total_rows) * f64::from(problem.query_heads);
    let tokens = f64::from(problem.confirmed_capacity() + problem.rows);
    let products = 2.0 * columns * tokens * f64::from(problem.kv.head_dim);
    Duration::from_secs_f64(products / 1e9 / f64::from(threads))
}
