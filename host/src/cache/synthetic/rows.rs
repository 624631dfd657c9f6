//! The rows that an attention input already holds, taken out again: what appending has to bring before attention.

use crate::{
    attention::synthetic::AttentionInput,
    cache::{
        append::{
            OPERATION,
            arrays::{AppendArrays, AppendStrides},
            problem::AppendProblem,
        },
        step::{Step, StepArrays},
    },
    error::InvalidInput,
    synthetic::{NAN, nans},
};

/// The rows of a step that one layer's attention reads: keys, values and queries, dense.
#[derive(Clone, Debug)]
pub struct OwnRows {
    /// The problem whose launch brings them.
    pub problem: AppendProblem,
    /// Keys of the rows, `[total_rows, kv_heads, head_dim]`; NaN where a row is nobody's.
    pub key: Vec<u16>,
    /// Values of the rows, likewise.
    pub value: Vec<u16>,
    /// Queries of the rows, `[total_rows, query_heads, head_dim]`, likewise.
    pub query: Vec<u16>,
    /// Distances between rows; copied queries lie as those of the attention input.
    pub strides: AppendStrides,
}

impl OwnRows {
    /// Takes the rows out of `input`, of which nothing but NaN stays behind.
    ///
    /// # Errors
    /// The input is of no valid step, or its rows or tables are at fault.
    pub fn take(input: &mut AttentionInput) -> Result<Self, InvalidInput> {
        let problem = AppendProblem::from(&input.problem);
        problem.validate()?;
        let strides = AppendStrides {
            query_copy_row: input.strides.query_row,
            query_copy_head: input.strides.query_head,
            ..AppendStrides::dense(&problem)
        };
        let mut rows = Self {
            key: nans(strides.key_extent(&problem))?,
            value: nans(strides.value_extent(&problem))?,
            query: nans(strides.query_extent(&problem))?,
            problem,
            strides,
        };
        for (row, place) in places(input, &rows.problem.step)? {
            rows.take_row(input, row, place);
        }
        Ok(rows)
    }

    fn take_row(&mut self, input: &mut AttentionInput, row: usize, place: usize) {
        let (kv, strides) = (&self.problem.step.kv, &self.strides);
        let dim = kv.head_dim as usize;
        for head in 0..kv.kv_heads as usize {
            let from = place + head * kv.kv_head_stride as usize;
            for (rows, cache, [row_stride, head_stride]) in [
                (&mut self.key, &mut input.key, [strides.key_row, strides.key_head]),
                (&mut self.value, &mut input.value, [strides.value_row, strides.value_head]),
            ] {
                let to = row * row_stride as usize + head * head_stride as usize;
                rows[to..to + dim].copy_from_slice(&cache[from..from + dim]);
                cache[from..from + dim].fill(NAN);
            }
        }
        for head in 0..self.problem.query_heads as usize {
            let from = row * strides.query_copy_row as usize + head * strides.query_copy_head as usize;
            let to = row * strides.query_row as usize + head * strides.query_head as usize;
            self.query[to..to + dim].copy_from_slice(&input.query[from..from + dim]);
            input.query[from..from + dim].fill(NAN);
        }
    }

    /// What appending reads to bring the rows back to where they were in `input`.
    #[must_use]
    pub fn arrays<'a>(&'a self, input: &'a AttentionInput) -> AppendArrays<'a> {
        AppendArrays {
            step: step_arrays(input),
            key: &self.key,
            value: &self.value,
            query: &self.query,
            strides: self.strides,
        }
    }
}

fn step_arrays(input: &AttentionInput) -> StepArrays<'_> {
    StepArrays {
        block_table: &input.block_table,
        table_stride: input.strides.table,
        lengths: &input.lengths,
        row_starts: &input.row_starts,
    }
}

/// Every row of the batch that is a sequence's, and the item offset of its token in each cache.
fn places(input: &AttentionInput, step: &Step) -> Result<Vec<(usize, usize)>, InvalidInput> {
    let (arrays, mut places) = (step_arrays(input), Vec::new());
    arrays.validate(OPERATION, step)?;
    for sequence in 0..step.batch {
        let fault = |field, fault| {
            InvalidInput::new(
                OPERATION,
                field,
                "sound in every sequence",
                format!("{fault:?} of sequence {sequence}"),
            )
        };
        let (first, rows) = arrays.rows(step, sequence).map_err(|found| fault("row_starts", found))?;
        for row in 0..rows {
            let place = arrays.place(step, sequence, row).map_err(|found| fault("block_table", found))?;
            places.push(((first + row) as usize, place as usize));
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Dtype;

    use super::*;
    use crate::{
        attention::{
            problem::{Confirmed, Mask, Sets},
            synthetic::{Contents, Logits, Plant, Recipe, SequenceShape},
        },
        cache::{append::reference, layer::LayerMut},
        kv::KvLayout,
    };

    fn input() -> AttentionInput {
        let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
        let recipe = Recipe {
            dtype: Dtype::Bf16,
            head_dim: 64,
            kv_heads: 2,
            group: 3,
            page_size: 4,
            layout: KvLayout::Hnd,
            head_major: true,
            sequences: vec![shape(9, 3, 5), shape(7, 0, 7), shape(0, 1, 0)],
            confirmed: Confirmed::Sets(Sets::of_positions(0)),
            mask: Mask::Causal,
            spare: 1,
            padding: 1,
            lse: false,
            contents: Contents { logits: Logits::Flat, sorted: true, poison_unselected: true, seed: 1 },
        };
        recipe.input().unwrap()
    }

    #[test]
    fn appending_the_rows_that_were_taken_gives_the_input_again() {
        let whole = input();
        let mut taken = whole.clone();
        let rows = OwnRows::take(&mut taken).unwrap();
        assert_ne!((&taken.key, &taken.query), (&whole.key, &whole.query));
        let (mut key, mut value, mut query) = (taken.key.clone(), taken.value.clone(), taken.query.clone());
        let mut layer = LayerMut::Separate { key: &mut key, value: &mut value };
        let status = reference::append(&rows.problem, &rows.arrays(&taken), &mut layer, &mut query);
        assert_eq!(status, Ok(0));
        assert!((key, value, query) == (whole.key, whole.value, whole.query));
    }

    #[test]
    fn rows_without_a_place_are_refused() {
        let mut input = input();
        input.plant(Plant::LengthBeyond, 0);
        assert_eq!(OwnRows::take(&mut input).unwrap_err().field, "block_table");
    }
}
