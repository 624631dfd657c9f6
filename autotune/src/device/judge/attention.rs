//! Cases of sparse attention.

use std::thread;

use dustin::{
    InvalidInput,
    attention::{
        arrays::{AttentionArrays, LogBase},
        compare::{Output, compare_lse, compare_output},
        problem::{AttentionProblem, Confirmed, Mask, Sets},
        reference::{self, Reference},
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    profile::AttentionKey,
};

use super::samples;

/// An input and what it must give. The caches may be dropped once a device has its copy: judging needs the shapes.
pub(crate) struct AttentionCase {
    /// The input.
    pub(crate) input: AttentionInput,
    reference: Reference,
}

impl AttentionCase {
    /// A ragged batch for the types and layout of `key`: an empty sequence, one without rows, sets of nothing, of one
    /// token and of everything, gaps in every stride, and NaN in all that must not be read.
    ///
    /// # Errors
    /// The key is of no valid problem.
    pub(crate) fn awkward(key: &AttentionKey, seed: u64) -> Result<Self, InvalidInput> {
        let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
        let recipe = Recipe {
            dtype: key.dtype,
            head_dim: key.head_dim,
            kv_heads: key.kv_heads.min(2),
            group: key.group(),
            page_size: key.page_size,
            layout: key.layout,
            sequences: vec![
                shape(0, key.rows, 0),
                shape(1, 1, 1),
                shape(41, key.rows, 41),
                shape(150, 0, 20),
                shape(600, key.rows, 333),
                shape(77, 1, 0),
            ],
            confirmed: Confirmed::Sets(Sets::of_positions(0)),
            mask: Mask::Causal,
            spare: 1,
            padding: 1,
            head_major: false,
            lse: true,
            contents: Contents { logits: Logits::Peaked, sorted: false, poison_unselected: true, seed },
        };
        let input = recipe.input()?;
        let reference = reference::attention(&input.problem, &input.arrays())?;
        Ok(Self { input, reference })
    }

    /// The timed problem: every sequence has `context` tokens and a full set.
    ///
    /// # Errors
    /// The problem is invalid.
    pub(crate) fn timed(problem: &AttentionProblem, context: u32, seed: u64) -> Result<Self, InvalidInput> {
        let input = AttentionInput::uniform(problem, context, seed)?;
        let reference = sampled(&input)?;
        Ok(Self { input, reference })
    }

    /// Frees the caches, which may be gigabytes, when the device has its copy.
    pub(crate) fn drop_caches(&mut self) {
        self.input.key = Vec::new();
        self.input.value = Vec::new();
    }

    /// Judges an output, and a log-sum-exp (base e) where there is one. Items that were poisoned and not written show
    /// as NaN.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn judge(&self, output: &[u16], lse: Option<&[f32]>) -> Result<(), String> {
        let (problem, arrays) = (&self.input.problem, self.input.arrays());
        compare_output(problem, &arrays, &self.reference, Output::Rounded(output))
            .map_err(|error| error.to_string())?;
        if let Some(lse) = lse {
            compare_lse(problem, &self.reference, lse, LogBase::E).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// The reference of some of the sequences of `input`, spread over the batch; the rows of the others are not owned.
fn sampled(input: &AttentionInput) -> Result<Reference, InvalidInput> {
    let samples = samples(input.problem.batch);
    let parts: Vec<Result<Reference, InvalidInput>> = thread::scope(|scope| {
        let handles: Vec<_> =
            samples.iter().map(|&sequence| scope.spawn(move || of_sequence(input, sequence))).collect();
        handles.into_iter().map(|handle| handle.join().expect("the reference does not panic")).collect()
    });
    let (rows, heads) = (input.problem.total_rows as usize, input.problem.query_heads as usize);
    let items = rows * heads * input.problem.kv.head_dim as usize;
    let mut whole = Reference {
        output: vec![0.0; items],
        magnitude: vec![0.0; items],
        lse: vec![0.0; rows * heads],
        owned: vec![false; rows],
        status: 0,
    };
    for (&sequence, part) in samples.iter().zip(parts) {
        let part = part?;
        let first = input.row_starts[sequence] as usize;
        let (row, item) = (first * heads, first * heads * input.problem.kv.head_dim as usize);
        whole.output[item..][..part.output.len()].copy_from_slice(&part.output);
        whole.magnitude[item..][..part.magnitude.len()].copy_from_slice(&part.magnitude);
        whole.lse[row..][..part.lse.len()].copy_from_slice(&part.lse);
        whole.owned[first..][..part.owned.len()].copy_from_slice(&part.owned);
        whole.status = whole.status.max(part.status);
    }
    Ok(whole)
}

/// The reference of one sequence, as a batch of its own.
fn of_sequence(input: &AttentionInput, sequence: usize) -> Result<Reference, InvalidInput> {
    let rows = input.row_starts[sequence + 1] - input.row_starts[sequence];
    let problem = AttentionProblem { batch: 1, total_rows: rows as u32, ..input.problem };
    let starts = [0, rows];
    let whole = input.arrays();
    let arrays = AttentionArrays {
        query: &whole.query[input.row_starts[sequence] as usize * input.strides.query_row as usize..],
        block_table: &whole.block_table[sequence * input.strides.table as usize..],
        lengths: &whole.lengths[sequence..],
        row_starts: &starts,
        set: &whole.set[sequence * input.strides.set as usize..],
        set_sizes: &whole.set_sizes[sequence..],
        ..whole
    };
    reference::attention(&problem, &arrays)
}

#[cfg(test)]
mod tests {
    use dustin::element::encode;
    use dustin_autotune::workload::{Problem, Shape, Workload, named};

    use super::{super::SAMPLES, *};

    fn small() -> AttentionProblem {
        let Shape::Attention(mut shape) = named("cpu-0.5b").unwrap().shape else { panic!("of attention") };
        (shape.cache.batch, shape.cache.context, shape.k) = (7, 300, 64);
        match Workload::new("small".into(), shape).unwrap().problem {
            Problem::Attention(problem) => problem,
            other => panic!("{other:?}"),
        }
    }

    fn rounded(case: &AttentionCase) -> Vec<u16> {
        let mut output = vec![dustin::attention::synthetic::NAN; case.input.output_items()];
        let (heads, dim) = (case.input.problem.query_heads as usize, case.input.problem.kv.head_dim as usize);
        for (index, &value) in case.reference.output.iter().enumerate() {
            let (row, head, item) = (index / dim / heads, index / dim % heads, index % dim);
            let at =
                row * case.input.strides.output_row as usize + head * case.input.strides.output_head as usize;
            output[at + item] = encode(case.input.problem.dtype, value as f32);
        }
        output
    }

    #[test]
    fn sampled_sequences_have_the_reference_of_the_whole_batch() {
        let case = AttentionCase::timed(&small(), 300, 5).unwrap();
        let whole = reference::attention(&case.input.problem, &case.input.arrays()).unwrap();
        let owned = case.reference.owned.iter().filter(|&&owned| owned).count();
        assert_eq!(owned, SAMPLES * 5);
        let items = case.input.problem.query_heads as usize * 64;
        for row in (0..case.reference.owned.len()).filter(|&row| case.reference.owned[row]) {
            assert_eq!(case.reference.output[row * items..][..items], whole.output[row * items..][..items]);
        }
        assert_eq!(case.judge(&rounded(&case), None), Ok(()));
    }

    #[test]
    fn an_output_that_was_not_written_is_refused() {
        let case = AttentionCase::awkward(&AttentionKey::from(&small()), 5).unwrap();
        let mut output = rounded(&case);
        assert_eq!(case.judge(&output, None), Ok(()));
        output[0] = dustin::attention::synthetic::NAN;
        assert!(case.judge(&output, None).unwrap_err().contains("row 0"));
    }
}
