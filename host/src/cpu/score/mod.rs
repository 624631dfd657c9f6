//! Score gathering on the CPU.
//!
//! A sequence's positions are divided into chunks, a function of its length alone. For one source after the other, threads
//! work off the chunks: a tile of keys is gathered and converted to fp32 once, multiplied with all query columns that read
//! it, and the chunk's logits are replaced by exponentials relative to its own maximum. Once the maxima and sums of all
//! chunks are known, threads weigh the exponentials and add them up in the map. For a given variant, on one CPU, a
//! sequence's bits depend on the sequence alone, whatever the number of threads.

mod chunk;
mod dispatch;
mod sequence;
mod variants;

use std::sync::atomic::{AtomicU64, Ordering};

pub use self::variants::{Candidate, Exclusion, VARIANTS, Variant, candidates, default_candidate};
use self::{
    chunk::{Scratch, Task, divide, totals},
    sequence::place,
};
use super::{CpuBackend, drain};
use crate::{
    error::{InvalidInput, require_items},
    score::{arrays::ScoreArrays, problem::ScoreProblem},
};

const OPERATION: &str = "score gathering on the CPU";

/// The memory that launches work in.
#[derive(Debug, Default)]
pub(super) struct Memory {
    scratch: Vec<Scratch>,
    exponentials: Vec<f32>,
}

impl CpuBackend {
    /// Gathers the scores of `problem` over `arrays` into `map`, `[map_capacity]`, as
    /// [`crate::score::reference::score`] defines it. Returns the status word, 0 if the arrays' data is as documented.
    ///
    /// # Errors
    /// The problem, the strides, the scale or the candidate is invalid, an array is too short, or there is no memory for an
    /// fp32 logit for each token and column.
    pub fn score(
        &mut self,
        problem: &ScoreProblem,
        candidate: &Candidate,
        arrays: &ScoreArrays<'_>,
        map: &mut [f32],
    ) -> Result<u64, InvalidInput> {
        arrays.validate(problem)?;
        candidate.validate(self.limits())?;
        require_items(OPERATION, "map", map.len(), problem.map_capacity.into())?;

        let status = AtomicU64::new(0);
        let report = |word: u64| {
            status.fetch_max(word, Ordering::Relaxed);
        };
        let sequences = place(problem, arrays, &report);
        if !problem.accumulate {
            for sequence in &sequences {
                map[sequence.part.clone()].fill(0.0);
            }
        }
        let memory = &mut self.score;
        memory.scratch.resize_with(candidate.threads as usize, Scratch::default);
        let mut chunks = divide(problem, &sequences, map, &mut memory.exponentials)?;
        let scratch = &mut memory.scratch;
        for (source, own) in problem.sources.iter().zip(&arrays.sources) {
            // SAFETY: the CPU has the instructions: they were chosen among those available.
            let run =
                unsafe { self.instructions.score_runner(problem.kv.head_dim, candidate.variant.columns) };
            let task = Task { problem, arrays, source, own, tile: candidate.variant.tokens, report: &report };
            let weights = source.column_weights(problem.group(), problem.tokens);
            self.pool.install(|| {
                drain(scratch, chunks.iter_mut(), |scratch, chunk| run(&task, scratch, chunk));
                let totals = totals(&chunks, weights.len());
                drain(scratch, chunks.iter_mut(), |_, chunk| chunk.fold(&weights, &totals));
            });
        }
        drop(chunks);
        Ok(status.into_inner())
    }
}

#[cfg(test)]
mod tests;
