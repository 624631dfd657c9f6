//! Appending and compacting on the CPU: rows are copied where they lie, in order. Appending is one thread's work, as it moves
//! no more than the step's own rows of one layer; compacting shares out the layers.

use super::CpuBackend;
use crate::{
    cache::{
        append::{OPERATION as APPEND, arrays::AppendArrays},
        layer::{Half, LayerMut},
        step::Step,
    },
    error::InvalidInput,
};

impl CpuBackend {
    /// Appends the rows of `arrays` to `layer`, as [`crate::cache::append::reference::append`] defines it. Returns the status
    /// word, 0 if the arrays' data is as documented.
    ///
    /// # Errors
    /// The step or the strides are invalid, or an array is too short for them.
    pub fn append(
        &mut self,
        step: &Step,
        arrays: &AppendArrays<'_>,
        layer: &mut LayerMut<'_>,
    ) -> Result<u64, InvalidInput> {
        arrays.validate(step)?;
        layer.validate(APPEND, &step.kv)?;
        let (mut status, mut rows) = (0, Vec::new());
        for sequence in 0..step.batch {
            let of_sequence = arrays.step.rows(step, sequence).map(|(first, count)| {
                (0..count).map(move |row| (first + row, arrays.step.place(step, sequence, row)))
            });
            match of_sequence {
                Err(fault) => status = status.max(fault.word(sequence)),
                Ok(of_sequence) => {
                    for (row, place) in of_sequence {
                        match place {
                            Err(fault) => status = status.max(fault.word(sequence)),
                            Ok(place) => rows.push((row as usize, place as usize)),
                        }
                    }
                }
            }
        }
        let strides = &arrays.strides;
        let (dim, to_head) = (step.kv.head_dim as usize, step.kv.kv_head_stride as usize);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{
        compare::{Written, compare},
        synthetic::AppendInput,
    };

    #[test]
    fn random_steps_are_appended_as_the_reference_does() {
        let mut backend = CpuBackend::new(2).unwrap();
        for seed in 0..500 {
            let input = AppendInput::random(seed, 300, 9).unwrap();
            let mut layer = input.layer.clone();
            let status = backend.append(&input.step.step, &input.arrays(), &mut layer.as_mut()).unwrap();
            let written = Written { layers: vec![layer], status };
            compare(&input.reference().unwrap(), &written).unwrap_or_else(|error| panic!("{seed}: {error}"));
        }
    }

    #[test]
    fn caches_that_are_too_short_are_refused() {
        let input = AppendInput::random(3, 300, 9).unwrap();
        let (mut key, mut value) = ([0; 8], [0; 8]);
        let mut layer = LayerMut::Separate { key: &mut key, value: &mut value };
        let error = CpuBackend::new(1).unwrap().append(&input.step.step, &input.arrays(), &mut layer);
        assert_eq!(error.unwrap_err().field, "key_cache");
    }
}
