//! The arrays of a capture: how they are strided, and views of those that lie in host memory.

use dustin_kernels::fault::Fault;

use super::{OPERATION, problem::CaptureProblem};
use crate::{
    cache::overlap::require_nested,
    error::{InvalidInput, require_items},
    strides::{require_vectors, span},
};

/// Distances between head vectors, in items of 16 bits; multiples of 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaptureStrides {
    /// From one row's queries to the next's.
    pub query_row: u64,
    /// From one query head to the next.
    pub query_head: u64,
    /// From one slot to the next. No two captured queries may overlap.
    pub slot: u64,
    /// From one token of a slot to the next.
    pub token: u64,
    /// From one captured head to the next.
    pub head: u64,
}

impl CaptureStrides {
    /// Arrays without gaps: queries `[total_rows, query_heads, head_dim]`, and slots `[slots, tokens, heads, head_dim]`.
    #[must_use]
    pub fn dense(problem: &CaptureProblem) -> Self {
        let head = u64::from(problem.head_dim);
        let token = (problem.heads.len() as u64).saturating_mul(head);
        Self {
            query_row: u64::from(problem.query_heads) * head,
            query_head: head,
            slot: token.saturating_mul(problem.tokens.into()),
            token,
            head,
        }
    }

    /// Checks the strides of `problem`'s arrays, which must be valid itself.
    ///
    /// # Errors
    /// The first stride that is no multiple of 8, or that is absurd, or that lets captured queries overlap.
    pub fn validate(&self, problem: &CaptureProblem) -> Result<(), InvalidInput> {
        let written = [
            ("strides.slot", problem.slots.into(), self.slot),
            ("strides.token", problem.tokens.into(), self.token),
            ("strides.head", problem.heads.len() as u64, self.head),
        ];
        let read = [("strides.query_row", self.query_row), ("strides.query_head", self.query_head)];
        for (field, stride) in written.iter().map(|&(field, _, stride)| (field, stride)).chain(read) {
            require_vectors(OPERATION, field, stride)?;
        }
        require_nested(OPERATION, problem.head_dim.into(), written.to_vec())
    }

    /// Items of the array of queries.
    #[must_use]
    pub fn query_extent(&self, problem: &CaptureProblem) -> u64 {
        let heads = span(problem.query_heads.into(), self.query_head, problem.head_dim.into());
        span(problem.total_rows.into(), self.query_row, heads)
    }

    /// Items of the buffer of captured queries.
    #[must_use]
    pub fn captured_extent(&self, problem: &CaptureProblem) -> u64 {
        let heads = span(problem.heads.len() as u64, self.head, problem.head_dim.into());
        span(problem.slots.into(), self.slot, span(problem.tokens.into(), self.token, heads))
    }
}

/// What capturing reads, in host memory; 16-bit items as their bits.
#[derive(Clone, Copy, Debug)]
pub struct CaptureArrays<'a> {
    /// Queries of the rows after rotary embedding, `[total_rows, query_heads, head_dim]`.
    pub query: &'a [u16],
    /// First row of each sequence and, last, the number of rows, `[batch + 1]`.
    pub row_starts: &'a [i32],
    /// The row to capture of each sequence, counted from its first, `[batch]`. Nothing: the last one.
    pub rows: Option<&'a [i32]>,
    /// The slot of each sequence, `[batch]`; negative: nothing is captured. Nothing: sequence `b` has slot `b`.
    pub slots: Option<&'a [i32]>,
    /// The token of the slots that is written.
    pub token: u32,
    /// Distances between head vectors.
    pub strides: CaptureStrides,
}

/// Refuses a token that slots do not have, and slots that are not named though there are fewer than sequences.
pub(super) fn require_places(
    problem: &CaptureProblem,
    token: u32,
    slots_given: bool,
) -> Result<(), InvalidInput> {
    if token >= problem.tokens {
        let required = format!("below the slots' {} tokens", problem.tokens);
        return Err(InvalidInput::new(OPERATION, "token", required, token));
    }
    if !slots_given && problem.slots < problem.batch {
        let required = format!("at least {}, the batch, as no slots are given", problem.batch);
        return Err(InvalidInput::new(OPERATION, "slots", required, problem.slots));
    }
    Ok(())
}

impl CaptureArrays<'_> {
    /// Checks the problem, the strides, the token, and that every array holds what the shapes ask for.
    ///
    /// # Errors
    /// The first field that is not as documented, or the first array that is too short.
    pub fn validate(&self, problem: &CaptureProblem) -> Result<(), InvalidInput> {
        problem.validate()?;
        self.strides.validate(problem)?;
        require_places(problem, self.token, self.slots.is_some())?;
        require_items(OPERATION, "query", self.query.len(), self.strides.query_extent(problem))?;
        let batch = u64::from(problem.batch);
        require_items(OPERATION, "row_starts", self.row_starts.len(), batch + 1)?;
        for (field, array) in [("rows", self.rows), ("slots", self.slots)] {
            array.map_or(Ok(()), |array| require_items(OPERATION, field, array.len(), batch))?;
        }
        Ok(())
    }

    /// The row in the batch and the slot that are captured of `sequence`; nothing where it has no rows or no slot.
    ///
    /// # Errors
    /// What is not as documented.
    pub(crate) fn captured(
        &self,
        problem: &CaptureProblem,
        sequence: u32,
    ) -> Result<Option<(u32, u32)>, Fault> {
        let at = sequence as usize;
        let (first, last) = (self.row_starts[at], self.row_starts[at + 1]);
        if first < 0 || first > last || last as u32 > problem.total_rows {
            return Err(Fault::Rows);
        }
        let slot = self.slots.map_or(sequence as i32, |slots| slots[at]);
        if first == last || slot < 0 {
            return Ok(None);
        }
        if slot as u32 >= problem.slots {
            return Err(Fault::Slot);
        }
        let row = self.rows.map_or(last - first - 1, |rows| rows[at]);
        if !(0..last - first).contains(&row) {
            return Err(Fault::Accepted);
        }
        Ok(Some(((first + row) as u32, slot as u32)))
    }

    /// The item offsets, among the queries and among the captured ones, of each head vector that is copied for a row and a slot.
    pub(crate) fn copies<'p>(
        &self,
        problem: &'p CaptureProblem,
        (row, slot): (u32, u32),
    ) -> impl Iterator<Item = (usize, usize)> + use<'p> {
        let strides = self.strides;
        let from = u64::from(row) * strides.query_row;
        let to = u64::from(slot) * strides.slot + u64::from(self.token) * strides.token;
        problem.heads.iter().zip(0..).map(move |(&head, place)| {
            let (head, place) = (u64::from(head) * strides.query_head, place * strides.head);
            ((from + head) as usize, (to + place) as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> CaptureProblem {
        CaptureProblem {
            batch: 2,
            total_rows: 5,
            query_heads: 3,
            head_dim: 64,
            heads: vec![0, 2],
            slots: 4,
            tokens: 2,
        }
    }

    #[test]
    fn arrays_and_strides_that_do_not_fit_are_refused_by_name() {
        let (problem, query) = (problem(), [0; 5 * 192]);
        let strides = CaptureStrides::dense(&problem);
        assert_eq!(strides.captured_extent(&problem), 4 * 2 * 2 * 64);
        let good = CaptureArrays {
            query: &query,
            row_starts: &[0, 3, 5],
            rows: Some(&[1, 0]),
            slots: Some(&[3, -1]),
            token: 1,
            strides,
        };
        assert_eq!(good.validate(&problem), Ok(()));
        assert_eq!(CaptureArrays { rows: None, slots: None, ..good }.validate(&problem), Ok(()));
        let field = |arrays: CaptureArrays<'_>| arrays.validate(&problem).unwrap_err().field;
        assert_eq!(field(CaptureArrays { query: &query[1..], ..good }), "query");
        assert_eq!(field(CaptureArrays { row_starts: &[0, 3], ..good }), "row_starts");
        assert_eq!(field(CaptureArrays { rows: Some(&[0]), ..good }), "rows");
        assert_eq!(field(CaptureArrays { slots: Some(&[0]), ..good }), "slots");
        assert_eq!(field(CaptureArrays { token: 2, ..good }), "token");
        let strided = |change: fn(&mut CaptureStrides)| {
            let mut strides = strides;
            change(&mut strides);
            CaptureArrays { strides, ..good }
        };
        assert_eq!(field(strided(|s| s.query_row += 4)), "strides.query_row");
        assert_eq!(field(strided(|s| s.query_head = 1 << 41)), "strides.query_head");
        assert_eq!(field(strided(|s| s.slot -= 8)), "strides.slot");
        assert_eq!(field(strided(|s| s.token = 72)), "strides.token");
        assert_eq!(field(strided(|s| s.head = 0)), "strides.head");
        let crowded = CaptureProblem { slots: 1, ..problem.clone() };
        assert_eq!(CaptureArrays { slots: None, ..good }.validate(&crowded).unwrap_err().field, "slots");
    }

    #[test]
    fn a_row_is_captured_where_the_sequence_has_it_and_a_slot() {
        let arrays = CaptureArrays {
            query: &[],
            row_starts: &[0, 3, 3],
            rows: Some(&[1, 7]),
            slots: Some(&[3, 0]),
            token: 1,
            strides: CaptureStrides::dense(&problem()),
        };
        let captured = |arrays: CaptureArrays<'_>, sequence| arrays.captured(&problem(), sequence);
        assert_eq!((captured(arrays, 0), captured(arrays, 1)), (Ok(Some((1, 3))), Ok(None)));
        let copies: Vec<_> = arrays.copies(&problem(), (1, 3)).collect();
        assert_eq!(copies, [(192, 3 * 256 + 128), (192 + 128, 3 * 256 + 192)]);
        let defaults = CaptureArrays { rows: None, slots: None, ..arrays };
        assert_eq!(captured(defaults, 0), Ok(Some((2, 0))));
        assert_eq!(captured(CaptureArrays { slots: Some(&[-7, 0]), ..arrays }, 0), Ok(None));
        assert_eq!(captured(CaptureArrays { slots: Some(&[4, 0]), ..arrays }, 0), Err(Fault::Slot));
        for row in [-1, 3] {
            assert_eq!(captured(CaptureArrays { rows: Some(&[row, 0]), ..arrays }, 0), Err(Fault::Accepted));
        }
        for row_starts in [[-1, 3, 3], [3, 2, 3], [0, 6, 6], [i32::MAX, i32::MIN, 0]] {
            let arrays = CaptureArrays { row_starts: &row_starts, ..arrays };
            assert_eq!(captured(arrays, 0), Err(Fault::Rows), "{row_starts:?}");
        }
    }
}
