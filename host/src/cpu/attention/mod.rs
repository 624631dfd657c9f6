//! Attention on the CPU.
//!
//! One task serves one sequence, one KV head and one split of the sequence's set. It gathers a tile of tokens,
//! converts it to fp32 once, and runs all query columns of the KV head over it with an online softmax. Splits are
//! merged in their order, so that for a given variant and number of splits, on one CPU, a sequence's bits depend on
//! the sequence alone, whatever the number of threads.

mod confirmed;
mod dispatch;
mod finish;
mod sequence;
mod task;
mod variants;

use std::sync::atomic::{AtomicU64, Ordering};

pub use self::variants::{
    CpuCandidate, CpuExclusion, CpuVariant, SPLITS, VARIANTS, candidates, default_candidate,
};
use self::{
    sequence::Sequence,
    task::{Scratch, Shape, Task},
};
use super::{CpuBackend, drain};
use crate::{
    attention::{
        arrays::{AttentionArrays, LogBase},
        problem::AttentionProblem,
    },
    error::InvalidInput,
    error::require_items,
};

const OPERATION: &str = "paged attention on the CPU";

/// Where outputs go, strided as the arrays' strides say.
#[derive(Debug)]
pub enum OutputMut<'a> {
    /// 16-bit items of the problem's element type.
    Rounded(&'a mut [u16]),
    /// fp32 items.
    F32(&'a mut [f32]),
}

impl OutputMut<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Rounded(items) => items.len(),
            Self::F32(items) => items.len(),
        }
    }
}

/// Where log-sum-exps go, `[total_rows, query_heads]`.
#[derive(Debug)]
pub struct LseMut<'a> {
    /// The items.
    pub items: &'a mut [f32],
    /// Their base.
    pub base: LogBase,
}

/// The memory that launches work in.
#[derive(Debug, Default)]
pub(super) struct Memory {
    scratch: Vec<Scratch>,
    partials: Vec<f32>,
}

impl CpuBackend {
    /// Attention of `problem` over `arrays`, as [`crate::attention::reference::attention`] defines it: rows that belong to no
    /// sequence are not written. Returns the status word, 0 if the arrays' data is as documented.
    ///
    /// # Errors
    /// The problem, the strides, the scale or the candidate is invalid, an array is too short, or a log-sum-exp is
    /// given where the problem asks for none or missing where it asks for one.
    pub fn attention(
        &mut self,
        problem: &AttentionProblem,
        candidate: &CpuCandidate,
        arrays: &AttentionArrays<'_>,
        output: OutputMut<'_>,
        lse: Option<LseMut<'_>>,
    ) -> Result<u64, InvalidInput> {
        arrays.validate(problem)?;
        candidate.validate(self.limits())?;
        require_items(OPERATION, "output", output.len(), arrays.strides.output_extent(problem))?;
        if lse.is_some() != problem.lse {
            let given = if lse.is_some() { "given" } else { "missing" };
            let required = if problem.lse { "given" } else { "missing, as the problem asks for none" };
            return Err(InvalidInput::new(OPERATION, "lse", required, given));
        }
        if let Some(lse) = &lse {
            let required = u64::from(problem.total_rows) * u64::from(problem.query_heads);
            require_items(OPERATION, "lse", lse.items.len(), required)?;
        }

        let status = AtomicU64::new(0);
        let report = |word: u64| {
            status.fetch_max(word, Ordering::Relaxed);
        };
        let mut owners = vec![None; problem.total_rows as usize];
        let sequences: Vec<Option<Sequence>> = (0..problem.batch)
            .map(|index| Sequence::new(problem, arrays, index, &mut owners, &report))
            .collect();
        let shape = Shape::new(problem, candidate, &sequences);
        let memory = &mut self.attention;
        memory.partials.resize(shape.partial_items(), 0.0);
        memory.scratch.resize_with(candidate.threads as usize, Scratch::default);

        // SAFETY: the CPU has the instructions: they were chosen among those available.
        let run = unsafe { self.instructions.runner(problem.kv.head_dim, candidate.variant.columns) };
        self.pool.install(|| {
            let tasks = shape.tasks(&mut memory.partials);
            drain(&mut memory.scratch, tasks, |scratch, (sequence, place, partial)| {
                if let Some(sequence) = &sequences[sequence] {
                    run(
                        &Task { problem, candidate, arrays, sequence, place, report: &report },
                        scratch,
                        partial,
                    );
                }
            });
            finish::write(
                problem,
                arrays,
                &shape,
                &owners,
                &memory.partials,
                &mut memory.scratch,
                output,
                lse,
            );
        });
        Ok(status.into_inner())
    }
}

#[cfg(test)]
mod tests;
