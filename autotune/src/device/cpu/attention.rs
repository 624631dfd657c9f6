//! Sparse attention on the CPU.

use std::time::Duration;

use dustin::{
    InvalidInput,
    attention::{arrays::LogBase, problem::AttentionProblem},
    cpu::{self, CpuBackend, CpuCandidate, CpuLimits, LseMut, OutputMut},
};

use super::{Side, excluded};
use crate::{
    device::{
        Offers,
        judge::{AttentionCase, AttentionWritten},
    },
    search::Resources,
    task::Offer,
};

impl Side for AttentionCase {
    type Candidate = CpuCandidate;

    fn run(
        &self,
        backend: &mut CpuBackend,
        candidate: &CpuCandidate,
        AttentionWritten { output, lse }: &mut AttentionWritten,
    ) -> Result<u64, InvalidInput> {
        let input = &self.input;
        let lse = lse.as_mut().map(|lse| LseMut { items: lse.items_mut(), base: LogBase::E });
        let output = OutputMut::Rounded(output.items_mut());
        backend.attention(&input.problem, candidate, &input.arrays(), output, lse)
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
