//! Capturing head by head, written for clarity: it judges every back end, bit for bit.

use dustin_kernels::fault::Fault;

use super::{OPERATION, arrays::CaptureArrays, problem::CaptureProblem};
use crate::error::{InvalidInput, require_items};

/// Captures the queries of `arrays` in `captured`, with the defined results where the device's data is out of range. Returns the
/// status word of a launch that starts with 0, in which the highest fault stays.
///
/// * Of a sequence whose rows descend or leave the batch's nothing is captured, and it is reported.
/// * A sequence without rows, or whose slot is negative, leaves the slots alone.
/// * Of a sequence whose slot lies beyond the buffer, or whose row to capture it does not have, nothing is captured, and it is
///   reported.
///
/// # Errors
/// The problem or the strides are invalid, or an array is too short for them.
pub fn capture(
    problem: &CaptureProblem,
    arrays: &CaptureArrays<'_>,
    captured: &mut [u16],
) -> Result<u64, InvalidInput> {
    arrays.validate(problem)?;
    require_items(OPERATION, "captured", captured.len(), arrays.strides.captured_extent(problem))?;
    let mut status = 0;
    for sequence in 0..problem.batch {
        match arrays.captured(problem, sequence) {
            Ok(None) => {}
            Ok(Some(places)) => {
                let dim = problem.head_dim as usize;
                for (from, to) in arrays.copies(problem, places) {
                    captured[to..to + dim].copy_from_slice(&arrays.query[from..from + dim]);
                }
            }
            Err(fault) => status = Fault::word(fault, sequence).max(status),
        }
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::capture::arrays::CaptureStrides;

    #[test]
    fn the_last_accepted_rows_stand_in_their_slots_and_nothing_else_changes() {
        let problem = CaptureProblem {
            batch: 3,
            total_rows: 6,
            query_heads: 3,
            head_dim: 64,
            heads: vec![2, 0],
            slots: 3,
            tokens: 2,
        };
        let query: Vec<u16> = (0..6 * 192).collect();
        let strides = CaptureStrides { slot: 300 / 8 * 8, ..CaptureStrides::dense(&problem) };
        let arrays = CaptureArrays {
            query: &query,
            row_starts: &[0, 2, 2, 6],
            rows: Some(&[1, 9, 4]),
            slots: Some(&[2, 0, 1]),
            token: 1,
            strides,
        };
        let mut captured = vec![7; strides.captured_extent(&problem) as usize];
        let status = capture(&problem, &arrays, &mut captured);
        assert_eq!(status, Ok(Fault::Accepted.word(2)));
        let mut expected = vec![7; captured.len()];
        expected[2 * 296 + 128..][..64].copy_from_slice(&query[192 + 128..][..64]);
        expected[2 * 296 + 192..][..64].copy_from_slice(&query[192..][..64]);
        assert_eq!(captured, expected);
        assert_eq!(capture(&problem, &arrays, &mut captured[1..]).unwrap_err().field, "captured");
    }
}
