//! The arrays of a compaction, in host memory.

use dustin_kernels::fault::Fault;

use super::{OPERATION, problem::CompactProblem};
use crate::{
    cache::step::StepArrays,
    error::{InvalidInput, require_items},
    strides::{require_rows, span},
};

/// What compacting reads, in host memory.
#[derive(Clone, Copy, Debug)]
pub struct CompactArrays<'a> {
    /// The step's lengths, rows and tables.
    pub step: StepArrays<'a>,
    /// The accepted rows of each sequence, `[batch, accepted]`: numbers of its own rows, from 0, ascending.
    pub accepted: &'a [i32],
    /// Items from one sequence's list to the next.
    pub accepted_stride: u64,
    /// Entries of each list, `[batch]`; given if the problem counts them.
    pub counts: Option<&'a [i32]>,
}

/// Items of an array of lists that lie `stride` items apart.
pub(crate) fn accepted_extent(problem: &CompactProblem, stride: u64) -> u64 {
    span(problem.step.batch.into(), stride, problem.accepted.into())
}

/// Refuses counts that are missing, or that the problem does not ask for.
pub(crate) fn require_counts(problem: &CompactProblem, given: bool) -> Result<(), InvalidInput> {
    if given == problem.counted {
        return Ok(());
    }
    let required = if problem.counted { "given" } else { "missing, as the problem asks for none" };
    let actual = if given { "given" } else { "missing" };
    Err(InvalidInput::new(OPERATION, "accepted_counts", required, actual))
}

impl CompactArrays<'_> {
    /// Checks the problem, the strides, and that every array is there that should be, and holds what the shapes ask for.
    ///
    /// # Errors
    /// The first field that is not as documented, or the first array that is missing, not asked for or too short.
    pub fn validate(&self, problem: &CompactProblem) -> Result<(), InvalidInput> {
        problem.validate()?;
        self.step.validate(OPERATION, &problem.step)?;
        require_rows(OPERATION, "strides.accepted", self.accepted_stride, problem.accepted)?;
        let lists = accepted_extent(problem, self.accepted_stride);
        require_items(OPERATION, "accepted", self.accepted.len(), lists)?;
        require_counts(problem, self.counts.is_some())?;
        let batch = problem.step.batch.into();
        self.counts.map_or(Ok(()), |counts| require_items(OPERATION, "accepted_counts", counts.len(), batch))
    }

    /// The accepted rows of `sequence`, of which it has `rows`, up to the first entry that is none, and what is wrong with
    /// that one.
    pub(crate) fn rows(
        &self,
        problem: &CompactProblem,
        sequence: u32,
        rows: u32,
    ) -> (Vec<u32>, Option<Fault>) {
        let start = sequence as usize * self.accepted_stride as usize;
        let list = &self.accepted[start..start + problem.accepted as usize];
        let list = match self.counts.map(|counts| usize::try_from(counts[sequence as usize])) {
            None => list,
            Some(Ok(count)) if count <= list.len() => &list[..count],
            Some(_) => return (Vec::new(), Some(Fault::Accepted)),
        };
        let mut accepted: Vec<u32> = Vec::new();
        for &entry in list {
            match u32::try_from(entry) {
                Ok(row) if row < rows && accepted.last().is_none_or(|&before| row > before) => {
                    accepted.push(row)
                }
                Err(_) if !problem.counted => return (accepted, None),
                _ => return (accepted, Some(Fault::Accepted)),
            }
        }
        (accepted, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::step::Step,
        kv::{KvLayout, PagedKv},
    };

    fn problem(counted: bool) -> CompactProblem {
        let kv = PagedKv::dense(KvLayout::Nhd, 5, 2, 3, 64);
        let step = Step { batch: 2, rows: 8, total_rows: 16, kv, table_width: 3 };
        CompactProblem { step, layers: 2, accepted: 4, counted }
    }

    const STEP: StepArrays<'_> =
        StepArrays { block_table: &[0; 6], table_stride: 3, lengths: &[0; 2], row_starts: &[0, 8, 16] };

    #[test]
    fn arrays_that_are_missing_too_short_or_not_asked_for_are_refused_by_name() {
        let items = [0; 9];
        let good =
            CompactArrays { step: STEP, accepted: &items, accepted_stride: 5, counts: Some(&items[..2]) };
        assert_eq!(good.validate(&problem(true)), Ok(()));
        assert_eq!(CompactArrays { counts: None, ..good }.validate(&problem(false)), Ok(()));
        let field = |arrays: CompactArrays<'_>| arrays.validate(&problem(true)).unwrap_err().field;
        assert_eq!(field(CompactArrays { accepted: &items[1..], ..good }), "accepted");
        assert_eq!(field(CompactArrays { accepted_stride: 3, ..good }), "strides.accepted");
        assert_eq!(field(CompactArrays { counts: None, ..good }), "accepted_counts");
        assert_eq!(field(CompactArrays { counts: Some(&items[..1]), ..good }), "accepted_counts");
        assert_eq!(field(CompactArrays { step: StepArrays { lengths: &[], ..STEP }, ..good }), "lengths");
        assert_eq!(good.validate(&problem(false)).unwrap_err().field, "accepted_counts");
    }

    #[test]
    fn lists_end_where_they_say_or_before_the_first_entry_that_is_no_row() {
        let rows = |accepted: [i32; 4], count: Option<i32>| {
            let counts = count.map(|count| [7, count]);
            let accepted = [[9; 4], accepted].concat();
            let counts = counts.as_ref().map(|counts| &counts[..]);
            CompactArrays { step: STEP, accepted: &accepted, accepted_stride: 4, counts }.rows(
                &problem(count.is_some()),
                1,
                8,
            )
        };
        let fault = Some(Fault::Accepted);
        assert_eq!(rows([0, 2, 5, 7], Some(4)), (vec![0, 2, 5, 7], None));
        assert_eq!(rows([0, 2, 5, 7], None), (vec![0, 2, 5, 7], None));
        assert_eq!(rows([0, 2, -1, 1], Some(2)), (vec![0, 2], None));
        assert_eq!(rows([0, 2, -1, 1], None), (vec![0, 2], None));
        assert_eq!(rows([0, 2, -1, 1], Some(3)), (vec![0, 2], fault));
        assert_eq!(rows([0, 2, 2, 3], None), (vec![0, 2], fault));
        assert_eq!(rows([3, 1, 4, 5], Some(4)), (vec![3], fault));
        assert_eq!(rows([1, 8, 9, 9], None), (vec![1], fault));
        assert_eq!(rows([-1; 4], None), (vec![], None));
        assert_eq!(rows([0; 4], Some(0)), (vec![], None));
        assert_eq!(rows([0, 1, 2, 3], Some(5)), (vec![], fault));
        assert_eq!(rows([0, 1, 2, 3], Some(-1)), (vec![], fault));
    }
}
