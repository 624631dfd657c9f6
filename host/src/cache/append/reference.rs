//! Appending item by item, written for clarity: it judges every back end, bit for bit.

use dustin_kernels::fault::Fault;

use super::{OPERATION, arrays::AppendArrays, problem::AppendProblem};
use crate::{
    cache::layer::{Half, LayerMut},
    error::{InvalidInput, require_items},
};

/// Appends the rows of `arrays` to `layer` and copies their queries to `query_copy`, with the defined results where the device's
/// data is out of range. Returns the status word of a launch that starts with 0, in which the highest fault stays.
///
/// * Of a sequence whose rows descend, exceed the capacity or leave the batch's, or whose length is negative, nothing is
///   written, and one fault is reported.
/// * A row whose position lies beyond the block table, or on a page outside the cache, is not written, and reported; its queries
///   are copied.
///
/// # Errors
/// The problem or the strides are invalid, or an array is too short for them.
pub fn append(
    problem: &AppendProblem,
    arrays: &AppendArrays<'_>,
    layer: &mut LayerMut<'_>,
    query_copy: &mut [u16],
) -> Result<u64, InvalidInput> {
    arrays.validate(problem)?;
    validate_targets(problem, arrays, layer, query_copy)?;
    let (step, mut status) = (&problem.step, 0);
    for sequence in 0..step.batch {
        let mut report = |fault: Fault| status = status.max(fault.word(sequence));
        let of_sequence = arrays.step.rows(step, sequence).map_err(&mut report);
        let Ok((first, rows)) = of_sequence else { continue };
        for row in 0..rows {
            if let Ok(place) = arrays.step.place(step, sequence, row).map_err(&mut report) {
                write_row(problem, arrays, u64::from(first + row), place, layer);
            }
            copy_queries(problem, arrays, u64::from(first + row), query_copy);
        }
    }
    Ok(status)
}

/// Checks what is written for the arrays of `problem`.
///
/// # Errors
/// The first of the caches and of the copied queries that is too short, or keys and values that overlap.
pub(crate) fn validate_targets(
    problem: &AppendProblem,
    arrays: &AppendArrays<'_>,
    layer: &LayerMut<'_>,
    query_copy: &[u16],
) -> Result<(), InvalidInput> {
    layer.validate(OPERATION, &problem.step.kv)?;
    require_items(OPERATION, "query_copy", query_copy.len(), arrays.strides.query_copy_extent(problem))
}

fn write_row(
    problem: &AppendProblem,
    arrays: &AppendArrays<'_>,
    row: u64,
    place: u64,
    layer: &mut LayerMut<'_>,
) {
    let (step, strides) = (&problem.step, &arrays.strides);
    layer.each(|half, cache| {
        let (rows, row_stride, head_stride) = match half {
            Half::Key => (arrays.key, strides.key_row, strides.key_head),
            Half::Value => (arrays.value, strides.value_row, strides.value_head),
        };
        for head in 0..u64::from(step.kv.kv_heads) {
            for item in 0..u64::from(step.kv.head_dim) {
                let from = row * row_stride + head * head_stride + item;
                cache[(place + head * step.kv.kv_head_stride + item) as usize] = rows[from as usize];
            }
        }
    });
}

fn copy_queries(problem: &AppendProblem, arrays: &AppendArrays<'_>, row: u64, copy: &mut [u16]) {
    let strides = &arrays.strides;
    for head in 0..u64::from(problem.query_heads) {
        for item in 0..u64::from(problem.step.kv.head_dim) {
            let from = row * strides.query_row + head * strides.query_head + item;
            let to = row * strides.query_copy_row + head * strides.query_copy_head + item;
            copy[to as usize] = arrays.query[from as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{
            append::arrays::AppendStrides,
            step::{Step, StepArrays},
        },
        kv::{KvLayout, PagedKv},
    };

    /// Two sequences, the second of which runs out of its table; rows lie heads outside, with a gap, queries rows outside, with
    /// gaps behind copied heads, and nobody has the last row.
    #[test]
    fn rows_stand_where_the_tables_say_and_nothing_else_changes() {
        let kv = PagedKv::dense(KvLayout::Hnd, 3, 2, 2, 64);
        let step = Step { batch: 2, rows: 3, total_rows: 5, kv, table_width: 2 };
        let problem = AppendProblem { step, query_heads: 4 };
        let key: Vec<u16> = (0..1000).collect();
        let value: Vec<u16> = (1000..2000).collect();
        let query: Vec<u16> = (2000..4000).collect();
        let strides = AppendStrides {
            key_row: 64,
            key_head: 64 * 5,
            value_row: 128,
            value_head: 64,
            query_row: 256,
            query_head: 64,
            query_copy_row: 72,
            query_copy_head: 5 * 72,
        };
        let arrays = AppendArrays {
            step: StepArrays {
                block_table: &[2, -1, -7, 0],
                table_stride: 2,
                lengths: &[0, 3],
                row_starts: &[0, 1, 4],
            },
            key: &key,
            value: &value,
            query: &query,
            strides,
        };
        let mut copy = vec![7; 4 * 5 * 72];
        let mut items = [vec![7; 768], vec![7; 768]];
        let [key_cache, value_cache] = &mut items;
        let mut layer = LayerMut::Separate { key: key_cache, value: value_cache };
        assert_eq!(append(&problem, &arrays, &mut layer, &mut copy), Ok(Fault::Length.word(1)));
        let mut expected = [vec![7; 768], vec![7; 768]];
        // Row 0 is the first token of page 2; row 1 the second token of page 0.
        for (row, start) in [(0, 512), (1, 64)] {
            for head in 0..2 {
                for item in 0..64 {
                    let at = start + head * 128 + item;
                    expected[0][at] = key[row * 64 + head * 320 + item];
                    expected[1][at] = value[row * 128 + head * 64 + item];
                }
            }
        }
        assert_eq!(items, expected);
        let mut expected = vec![7; 4 * 5 * 72];
        for (row, head) in (0..4).flat_map(|row| (0..4).map(move |head| (row, head))) {
            let at = row * 72 + head * 5 * 72;
            expected[at..at + 64].copy_from_slice(&query[row * 256 + head * 64..][..64]);
        }
        assert_eq!(copy, expected);
        let error =
            append(&problem, &arrays, &mut LayerMut::Separate { key: &mut [], value: &mut [] }, &mut []);
        assert_eq!(error.unwrap_err().field, "key_cache");
        let [key_cache, value_cache] = &mut items;
        let mut layer = LayerMut::Separate { key: key_cache, value: value_cache };
        let error = append(&problem, &arrays, &mut layer, &mut copy[..1000]);
        assert_eq!(error.unwrap_err().field, "query_copy");
    }
}
