//! Output errors: attention over sets and over all tokens, both by the library's CPU back end, in fp32 behind the capture's 16-bit items.

use dustin::{
    InvalidInput,
    attention::{
        arrays::{AttentionArrays, AttentionStrides},
        problem::{AttentionProblem, Confirmed, Mask, Sets},
    },
    cpu::{CpuBackend, OutputMut, default_candidate},
    kv::{KvLayout, PagedKv},
};

use super::{
    FidelityError, StepPlan,
    attend::Heads,
    measure::PromptMeasure,
    observed::{Observed, each_group},
    sets::PromptSets,
};
use crate::calibration::{CalibrationError, Capture, Layer, ModelRole};

/// The output errors of several candidates' sets on one prompt. Each layer is read, and its full attention computed, once for all of them.
pub(super) fn errors(
    capture: &Capture,
    backend: &mut CpuBackend,
    plan: StepPlan,
    observed: &Observed,
    candidates: &[&PromptSets],
) -> Result<Vec<PromptMeasure>, FidelityError> {
    let model = capture.model(ModelRole::Target)?;
    let none = PromptMeasure { prompt: observed.prompt, layers: Vec::new() };
    let mut errors = vec![none; candidates.len()];
    for &number in &model.layers {
        let layer = capture.layer(ModelRole::Target, observed.prompt, number)?;
        let sets = |candidate: usize, _: usize, step: usize| candidates[candidate].positions(step);
        let of_layer = layer_errors(capture, backend, plan, observed, &layer, candidates.len(), sets)?;
        errors.iter_mut().zip(of_layer).for_each(|(error, of_layer)| error.layers.push(of_layer));
    }
    Ok(errors)
}

/// The output errors of one layer: of `candidates` candidates, whose sets `sets` says by candidate, KV head (its row among those kept) and
/// step.
pub(super) fn layer_errors<'a>(
    capture: &Capture,
    backend: &mut CpuBackend,
    plan: StepPlan,
    observed: &Observed,
    layer: &Layer,
    candidates: usize,
    sets: impl Fn(usize, usize, usize) -> Option<&'a [i32]>,
) -> Result<Vec<f64>, FidelityError> {
    let model = capture.model(ModelRole::Target)?;
    let first_query = capture.prompt(observed.prompt)?.first_query;
    let Some(values) = &layer.values else {
        return Err(CalibrationError::NoValues { file: capture.name().to_owned() }.into());
    };
    let lengths = &observed.steps.lengths;
    let mut sums = vec![0.0; candidates];
    each_group(model, layer, |kv_row, heads| {
        let values = values.bits(kv_row..kv_row + 1);
        let dim = heads.dim as usize;
        for (index, &length) in lengths.iter().enumerate() {
            let step = Step { heads, values: &values, length, first_query, rows: plan.gamma + 1 };
            let full = step.attend(backend, None)?;
            for (candidate, sum) in sums.iter_mut().enumerate() {
                let sparse = step.attend(backend, sets(candidate, kv_row, index))?;
                *sum += full.chunks(dim).zip(sparse.chunks(dim)).map(relative).sum::<f64>();
            }
        }
        Ok(())
    })?;
    let outputs = lengths.len() * model.heads.len() * (plan.gamma as usize + 1);
    Ok(sums.into_iter().map(|sum| sum / outputs as f64).collect())
}

/// The norm of the difference between the second and the first, relative to that of the first. Of a first one that is 0: 1, unless both are.
pub(crate) fn relative((full, sparse): (&[f32], &[f32])) -> f64 {
    let norm = |items: &mut dyn Iterator<Item = f64>| items.map(|item| item * item).sum::<f64>().sqrt();
    let of_full = norm(&mut full.iter().map(|&item| f64::from(item)));
    let of_difference = norm(&mut full.iter().zip(sparse).map(|(&a, &b)| f64::from(b) - f64::from(a)));
    match (of_full > 0.0, of_difference > 0.0) {
        (true, _) => of_difference / of_full,
        (false, differs) => f64::from(u8::from(differs)),
    }
}

/// A step's rows of the heads that read one KV head.
struct Step<'a> {
    heads: &'a Heads<'a>,
    /// The KV head's values, `[positions, dim]`.
    values: &'a [u16],
    length: i32,
    first_query: u32,
    rows: u32,
}

impl Step<'_> {
    /// Outputs of the rows over `set`, or all confirmed tokens, and causally over themselves: `[rows, heads, dim]`.
    fn attend(&self, backend: &mut CpuBackend, set: Option<&[i32]>) -> Result<Vec<f32>, InvalidInput> {
        let Heads { keys, queries, heads, rows, dim, dtype, scale } = *self.heads;
        let stride = u64::from(dim);
        let positions = (keys.len() / dim as usize) as u32;
        let problem = AttentionProblem {
            batch: 1,
            rows: self.rows,
            total_rows: self.rows,
            confirmed: set
                .map_or(Confirmed::Everything, |set| Confirmed::Sets(Sets::of_positions(set.len() as u32))),
            query_heads: heads,
            // Pages of one token: the tensor is the cache.
            kv: PagedKv::dense(KvLayout::Nhd, positions, 1, 1, dim),
            table_width: positions,
            dtype,
            mask: Mask::Causal,
            lse: false,
            batch_invariant: false,
        };
        let candidate = default_candidate(&problem, backend.limits())?;
        let first = (self.length.cast_unsigned() - self.first_query) as usize;
        let sizes: Vec<i32> = set.iter().map(|set| set.len() as i32).collect();
        let table: Vec<i32> = (0..positions.cast_signed()).collect();
        let arrays = AttentionArrays {
            query: &queries[first * dim as usize..],
            key: keys,
            value: self.values,
            block_table: &table,
            lengths: &[self.length],
            row_starts: &[0, self.rows.cast_signed()],
            set: set.unwrap_or_default(),
            set_sizes: &sizes,
            masks: &[],
            scale,
            // A head's captured queries lie together.
            strides: AttentionStrides {
                query_row: stride,
                query_head: stride * u64::from(rows),
                ..AttentionStrides::dense(&problem)
            },
        };
        let mut output = vec![0.0; (self.rows * heads * dim) as usize];
        let status = backend.attention(&problem, &candidate, &arrays, OutputMut::F32(&mut output), None)?;
        debug_assert_eq!(status, 0, "lengths, sets and pages are the capture's");
        Ok(output)
    }
}
