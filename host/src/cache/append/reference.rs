//! Appending item by item, written for clarity: it judges every back end, bit for bit.

use dustin_kernels::fault::Fault;

use super::{OPERATION, arrays::AppendArrays};
use crate::{
    cache::{
        layer::{Half, LayerMut},
        step::Step,
    },
    error::InvalidInput,
};

/// Appends the rows of `arrays` to `layer`, with the defined results where the device's data is out of range. Returns the
/// status word of a launch that starts with 0, in which the highest fault stays.
///
/// * Of a sequence whose rows descend, exceed the capacity or leave the batch's, or whose length is negative, nothing is
///   written, and one fault is reported.
/// * A row whose position lies beyond the block table, or on a page outside the cache, is not written, and reported.
///
/// # Errors
/// The step or the strides are invalid, or an array is too short for them.
pub fn append(step: &Step, arrays: &AppendArrays<'_>, layer: &mut LayerMut<'_>) -> Result<u64, InvalidInput> {
    arrays.validate(step)?;
    layer.validate(OPERATION, &step.kv)?;
    let mut status = 0;
    for sequence in 0..step.batch {
        let mut report = |fault: Fault| status = status.max(fault.word(sequence));
        let of_sequence = arrays.step.rows(step, sequence).map_err(&mut report);
        let Ok((first, rows)) = of_sequence else { continue };
        for row in 0..rows {
            if let Ok(place) = arrays.step.place(step, sequence, row).map_err(&mut report) {
                write_row(step, arrays, u64::from(first + row), place, layer);
            }
        }
    }
    Ok(status)
}

fn write_row(step: &Step, arrays: &AppendArrays<'_>, row: u64, place: u64, layer: &mut LayerMut<'_>) {
    let strides = &arrays.strides;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{append::arrays::AppendStrides, step::StepArrays},
        kv::{KvLayout, PagedKv},
    };

    /// Two sequences, the second of which runs out of its table; rows lie heads outside, with a gap.
    #[test]
    fn rows_stand_where_the_tables_say_and_nothing_else_changes() {
        let kv = PagedKv::dense(KvLayout::Hnd, 3, 2, 2, 64);
        let step = Step { batch: 2, rows: 3, total_rows: 4, kv, table_width: 2 };
        let key: Vec<u16> = (0..1000).collect();
        let value: Vec<u16> = (1000..2000).collect();
        let strides = AppendStrides { key_row: 64, key_head: 64 * 5, value_row: 128, value_head: 64 };
        let arrays = AppendArrays {
            step: StepArrays {
                block_table: &[2, -1, -7, 0],
                table_stride: 2,
                lengths: &[0, 3],
                row_starts: &[0, 1, 4],
            },
            key: &key,
            value: &value,
            strides,
        };
        let mut items = [vec![7; 768], vec![7; 768]];
        let [key_cache, value_cache] = &mut items;
        let mut layer = LayerMut::Separate { key: key_cache, value: value_cache };
        assert_eq!(append(&step, &arrays, &mut layer), Ok(Fault::Length.word(1)));
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
    }
}
