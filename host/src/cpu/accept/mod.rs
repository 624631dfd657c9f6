//! Acceptance on the CPU: threads share out sequences, and the rows of each.

mod residual;
mod row;
mod sequence;

use rayon::prelude::*;

use self::sequence::{Sequence, Walk};
use super::CpuBackend;
use crate::{
    accept::{
        arrays::{AcceptArrays, AcceptOutput},
        problem::AcceptProblem,
    },
    error::InvalidInput,
};

impl CpuBackend {
    /// Accepts the drafts of `arrays`, as [`crate::accept::reference::accept`] defines it. Returns the status word, 0 if the
    /// arrays' data is as documented. The caller counts the step.
    ///
    /// # Errors
    /// The problem or the strides are invalid, or an array is missing, not asked for or too short.
    pub fn accept(
        &mut self,
        problem: &AcceptProblem,
        arrays: &AcceptArrays<'_>,
        output: AcceptOutput<'_>,
    ) -> Result<u64, InvalidInput> {
        arrays.validate(problem)?;
        output.validate(problem, &arrays.strides)?;
        let walks: Vec<(Walk, u64)> = self.pool.install(|| {
            (0..problem.batch)
                .into_par_iter()
                .map(|index| match Sequence::new(problem, arrays, index) {
                    Ok((sequence, status)) => (sequence.walk(), status),
                    Err(fault) => (Walk::default(), fault.word(index)),
                })
                .collect()
        });
        let (mut status, rows) = (0, problem.rows as usize);
        let AcceptOutput { accepted, emitted, path, last_rows, mut new_lengths } = output;
        for (at, (walk, word)) in walks.iter().enumerate() {
            status = status.max(*word);
            fill(&mut path[at * arrays.strides.path as usize..][..rows], &walk.path);
            fill(&mut emitted[at * arrays.strides.emitted as usize..][..rows], &walk.emitted);
            accepted[at] = walk.path.len().saturating_sub(1) as i32;
            last_rows[at] = walk.path.last().map_or(-1, |&row| row as i32);
            if let (Some(lengths), Some(new_lengths)) = (arrays.lengths, &mut new_lengths) {
                new_lengths[at] = lengths[at].saturating_add(walk.path.len() as i32);
            }
        }
        Ok(status)
    }
}

/// Writes `items`, and -1 behind them.
fn fill(room: &mut [i32], items: &[u32]) {
    for (place, to) in room.iter_mut().enumerate() {
        *to = items.get(place).map_or(-1, |&item| item as i32);
    }
}

#[cfg(test)]
mod tests;
