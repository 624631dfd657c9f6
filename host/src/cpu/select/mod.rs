//! Selection on the CPU.
//!
//! Sinks and recent positions force the first and the last blocks of a sequence, so that the choice is among one range of
//! blocks. It is divided into chunks, which threads work off; each gives its best blocks, and the best of those are chosen.
//! First for the quota from the draft's map, then for the rest from the target's. The order of blocks is total, so that
//! the result depends neither on the chunks nor on the threads.

mod best;
mod scores;
mod sequence;
mod variants;

use self::sequence::{Scratch, Sequence};
pub use self::variants::{Candidate, Exclusion, VARIANTS, Variant, candidates, default_candidate};
use super::{CpuBackend, drain};
use crate::{
    error::InvalidInput,
    select::{
        arrays::{SelectArrays, SelectOutput},
        problem::SelectProblem,
    },
};

const OPERATION: &str = "selection on the CPU";

/// The memory that launches work in, for each thread.
pub(super) type Memory = Vec<Scratch>;

impl CpuBackend {
    /// The selection of `problem` over `arrays`, as [`crate::select::reference::select`] defines it. Returns the status
    /// word, 0 if the arrays' data is as documented.
    ///
    /// # Errors
    /// The problem, the strides or the candidate is invalid, or an array is missing, not asked for or too short.
    pub fn select(
        &mut self,
        problem: &SelectProblem,
        candidate: &Candidate,
        arrays: &SelectArrays<'_>,
        output: SelectOutput<'_>,
    ) -> Result<u64, InvalidInput> {
        arrays.validate(problem)?;
        candidate.validate(self.limits())?;
        output.validate(problem, &arrays.strides)?;

        let mut sequences: Vec<Sequence<'_>> =
            (0..problem.batch).map(|index| Sequence::new(problem, arrays, index)).collect();
        self.select.resize_with(candidate.threads as usize, Scratch::default);
        let scratch = &mut self.select;
        let chunk = candidate.variant.chunk;
        self.pool.install(|| {
            for pass in 0..2 {
                let tasks = sequences.iter_mut().flat_map(|sequence| sequence.tasks(problem, pass, chunk));
                drain(scratch, tasks, |scratch, task| task.run(problem, scratch));
                drain(scratch, sequences.iter_mut(), |_, sequence| sequence.choose(pass));
            }
            let stride = arrays.strides.set as usize;
            let SelectOutput { set, physical, set_sizes } = output;
            let mut slots = physical.map(|items| items.chunks_mut(stride));
            let slots = std::iter::repeat_with(move || slots.as_mut().and_then(Iterator::next));
            let rows = set.chunks_mut(stride).zip(slots).zip(set_sizes);
            drain(scratch, sequences.iter_mut().zip(rows), |_, (sequence, ((set, slots), size))| {
                *size = sequence.write(problem, arrays, set, slots);
            });
        });
        Ok(sequences.iter().map(Sequence::status).max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
