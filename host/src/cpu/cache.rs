//! Appending, compacting and capturing on the CPU: rows are copied where they lie, in order. Appending and capturing are one
//! thread's work, as they move no more than the step's own rows of one layer; compacting shares out the layers.

use dustin_kernels::fault::Fault;
use rayon::prelude::*;

use super::CpuBackend;
use crate::{
    cache::{
        append::{arrays::AppendArrays, problem::AppendProblem, reference::validate_targets},
        capture::{self, arrays::CaptureArrays, problem::CaptureProblem},
        compact::{arrays::CompactArrays, problem::CompactProblem, reference::validate_layers},
        layer::{Half, LayerMut},
    },
    error::InvalidInput,
};

impl CpuBackend {
    /// Appends the rows of `arrays` to `layer` and copies their queries to `query_copy`, as
    /// [`crate::cache::append::reference::append`] defines it. Returns the status word, 0 if the arrays' data is as documented.
    ///
    /// # Errors
    /// The problem or the strides are invalid, or an array is too short for them.
    pub fn append(
        &mut self,
        problem: &AppendProblem,
        arrays: &AppendArrays<'_>,
        layer: &mut LayerMut<'_>,
        query_copy: &mut [u16],
    ) -> Result<u64, InvalidInput> {
        arrays.validate(problem)?;
        validate_targets(problem, arrays, layer, query_copy)?;
        let (step, strides) = (&problem.step, &arrays.strides);
        let (dim, to_head) = (step.kv.head_dim as usize, step.kv.kv_head_stride as usize);
        let (mut status, mut rows) = (0, Vec::new());
        for sequence in 0..step.batch {
            let mut report = |fault: Fault| status = status.max(fault.word(sequence));
            let of_sequence = arrays.step.rows(step, sequence).map_err(&mut report);
            let Ok((first, count)) = of_sequence else { continue };
            for row in 0..count {
                let place = arrays.step.place(step, sequence, row).map_err(&mut report);
                let row = (first + row) as usize;
                rows.extend(place.map(|place| (row, place as usize)));
                for head in 0..problem.query_heads as usize {
                    let from = row * strides.query_row as usize + head * strides.query_head as usize;
                    let to = row * strides.query_copy_row as usize + head * strides.query_copy_head as usize;
                    query_copy[to..to + dim].copy_from_slice(&arrays.query[from..from + dim]);
                }
            }
        }
        layer.each(|half, cache| {
            let (source, from_row, from_head) = match half {
                Half::Key => (arrays.key, strides.key_row, strides.key_head),
                Half::Value => (arrays.value, strides.value_row, strides.value_head),
            };
            for &(row, place) in &rows {
                for head in 0..step.kv.kv_heads as usize {
                    let from = row * from_row as usize + head * from_head as usize;
                    let to = place + head * to_head;
                    cache[to..to + dim].copy_from_slice(&source[from..from + dim]);
                }
            }
        });
        Ok(status)
    }

    /// Compacts the accepted rows of `arrays` in each of the `layers`, as [`crate::cache::compact::reference::compact`]
    /// defines it. Returns the status word, 0 if the arrays' data is as documented.
    ///
    /// # Errors
    /// The problem or the strides are invalid, an array is missing or too short, or there are other than the problem's layers.
    pub fn compact(
        &mut self,
        problem: &CompactProblem,
        arrays: &CompactArrays<'_>,
        layers: &mut [LayerMut<'_>],
    ) -> Result<u64, InvalidInput> {
        arrays.validate(problem)?;
        validate_layers(problem, layers)?;
        let (step, mut status, mut moves) = (&problem.step, 0, Vec::new());
        for sequence in 0..step.batch {
            let mut report = |fault: Fault| status = status.max(fault.word(sequence));
            let of_sequence = arrays.step.rows(step, sequence).map_err(&mut report);
            let Ok((_, rows)) = of_sequence else { continue };
            let (accepted, fault) = arrays.rows(problem, sequence, rows);
            fault.into_iter().for_each(&mut report);
            let moving = (0..).zip(accepted).filter(|(place, row)| place != row);
            for (place, row) in moving {
                let mut token = |row| arrays.step.place(step, sequence, row).map_err(&mut report).ok();
                let (from, to) = (token(row), token(place));
                moves.extend(from.zip(to));
            }
        }
        let (dim, to_head) = (step.kv.head_dim as usize, step.kv.kv_head_stride as usize);
        let in_place = |cache: &mut [u16]| {
            // In order: what a move overwrites has left before.
            for &(from, to) in &moves {
                for head in (0..step.kv.kv_heads as usize).map(|head| head * to_head) {
                    let from = from as usize + head;
                    cache.copy_within(from..from + dim, to as usize + head);
                }
            }
        };
        self.pool.install(|| layers.par_iter_mut().for_each(|layer| layer.each(|_, cache| in_place(cache))));
        Ok(status)
    }

    /// Captures the queries of `arrays` in `captured`, as [`crate::cache::capture::reference::capture`] defines it: that copies
    /// head by head, and nothing is quicker. Returns the status word, 0 if the arrays' data is as documented.
    ///
    /// # Errors
    /// The problem or the strides are invalid, or an array is too short for them.
    pub fn capture(
        &mut self,
        problem: &CaptureProblem,
        arrays: &CaptureArrays<'_>,
        captured: &mut [u16],
    ) -> Result<u64, InvalidInput> {
        capture::reference::capture(problem, arrays, captured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{
        compare::{Written, compare},
        layer::Layer,
        synthetic::{AppendInput, CompactInput},
    };

    #[test]
    fn random_steps_are_appended_as_the_reference_does() {
        let mut backend = CpuBackend::new(2).unwrap();
        for seed in 0..500 {
            let input = AppendInput::random(seed, 300, 9).unwrap();
            let (mut layer, mut query_copy) = (input.layer.clone(), input.query_copy.clone());
            let (problem, arrays) = (input.problem(), input.arrays());
            let status = backend.append(&problem, &arrays, &mut layer.as_mut(), &mut query_copy).unwrap();
            let written = Written { layers: vec![layer], query_copy, status };
            compare(&input.reference().unwrap(), &written).unwrap_or_else(|error| panic!("{seed}: {error}"));
        }
    }

    #[test]
    fn random_steps_are_compacted_as_the_reference_does() {
        let mut backend = CpuBackend::new(2).unwrap();
        for seed in 0..500 {
            let input = CompactInput::random(seed, 300, 20).unwrap();
            let mut layers = input.layers.clone();
            let mut caches: Vec<_> = layers.iter_mut().map(Layer::as_mut).collect();
            let status = backend.compact(&input.problem, &input.arrays(), &mut caches).unwrap();
            let written = Written { layers, query_copy: Vec::new(), status };
            compare(&input.reference().unwrap(), &written).unwrap_or_else(|error| panic!("{seed}: {error}"));
        }
    }

    #[test]
    fn caches_that_are_too_short_are_refused() {
        let input = AppendInput::random(3, 300, 9).unwrap();
        let (mut key, mut value) = ([0; 8], [0; 8]);
        let mut layer = LayerMut::Separate { key: &mut key, value: &mut value };
        let error =
            CpuBackend::new(1).unwrap().append(&input.problem(), &input.arrays(), &mut layer, &mut []);
        assert_eq!(error.unwrap_err().field, "key_cache");
    }
}
