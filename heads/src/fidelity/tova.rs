//! The baseline TOVA ([arXiv 2401.06104](https://arxiv.org/abs/2401.06104)): each layer keeps k tokens; with every token that comes, that one
//! goes which it attends to least, in the mean over the layer's heads, of those that are still there.

use dustin::cpu::CpuBackend;

use super::{
    FidelityError, PromptMeasure, PromptRecovery, StepPlan,
    attend::gather,
    error::invalid,
    observed::{Observed, heads_of},
    output::layer_errors,
    steps::Packed,
};
use crate::calibration::{Capture, Layer, Model, ModelRole, Prompt};

/// What `k` tokens in each layer keep of the steps of a prompt.
pub(super) fn recovery(
    capture: &Capture,
    backend: &mut CpuBackend,
    observed: &Observed,
    k: u32,
) -> Result<PromptRecovery, FidelityError> {
    each_layer(capture, backend, observed, k, |_, index, _, sets| {
        let parts = observed.steps.parts(&observed.attention[index]);
        let kept = parts
            .zip(sets)
            .map(|(part, set)| set.iter().map(|&position| f64::from(part[position as usize])).sum::<f64>());
        Ok(kept.sum::<f64>() / sets.len() as f64)
    })
}

/// The output error of `k` tokens in each layer.
pub(super) fn output_error(
    capture: &Capture,
    backend: &mut CpuBackend,
    plan: StepPlan,
    observed: &Observed,
    k: u32,
) -> Result<PromptMeasure, FidelityError> {
    each_layer(capture, backend, observed, k, |backend, _, layer, sets| {
        let set = |_, _, step: usize| Some(&sets[step][..]);
        Ok(layer_errors(capture, backend, plan, observed, layer, 1, set)?[0])
    })
}

/// A figure of each layer, which `figure` computes from its place, itself and the set of each step.
fn each_layer(
    capture: &Capture,
    backend: &mut CpuBackend,
    observed: &Observed,
    k: u32,
    mut figure: impl FnMut(&mut CpuBackend, usize, &Layer, &[Vec<i32>]) -> Result<f64, FidelityError>,
) -> Result<PromptMeasure, FidelityError> {
    if k == 0 {
        return Err(invalid("k", "at least 1", k));
    }
    let (model, prompt) = (capture.model(ModelRole::Target)?, capture.prompt(observed.prompt)?);
    let mut layers = Vec::new();
    for (index, &number) in model.layers.iter().enumerate() {
        let layer = capture.layer(ModelRole::Target, observed.prompt, number)?;
        // The last token of the prompt chooses among all of it.
        let mut next = prompt.prompt_tokens - 1;
        let mut set: Vec<i32> = (0..next.cast_signed()).collect();
        let mut sets = Vec::new();
        for &length in &observed.steps.lengths {
            while next < length.cast_unsigned() {
                set.push(next.cast_signed());
                let scores = scores(backend, model, prompt, &layer, next, &set)?;
                evict(&mut set, &scores, k as usize);
                next += 1;
            }
            sets.push(set.clone());
        }
        layers.push(figure(backend, index, &layer, &sets)?);
    }
    Ok(PromptMeasure { prompt: observed.prompt, layers })
}

/// What the query of `position` gives to each token of `set`, which it sees nothing but: the mean over heads.
fn scores(
    backend: &mut CpuBackend,
    model: &Model,
    prompt: &Prompt,
    layer: &Layer,
    position: u32,
    set: &[i32],
) -> Result<Vec<f64>, FidelityError> {
    let sequence = Packed::new(std::iter::once(position + 1));
    let row = [(position - prompt.first_query).cast_signed()];
    let mut scores = vec![0.0; set.len()];
    for (index, &head) in model.heads.iter().enumerate() {
        let kv_row = model.kv_heads.partition_point(|&kv_head| kv_head < model.kv_head_of(head));
        let (keys, queries) = (layer.keys.bits(kv_row..kv_row + 1), layer.queries.bits(index..index + 1));
        let mut map = vec![0.0; sequence.positions()];
        gather(backend, &heads_of(model, layer, &keys, &queries, 1), &row, 1, &sequence, 1.0, &mut map)?;
        let of_set = || set.iter().map(|&position| f64::from(map[position as usize]));
        let sum: f64 = of_set().sum();
        // A head whose tokens have all gone says nothing.
        if sum > 0.0 {
            scores.iter_mut().zip(of_set()).for_each(|(score, mass)| *score += mass / sum);
        }
    }
    Ok(scores)
}

/// Leaves the `k` best of `set`, ascending; equals by their position, the lower one first.
fn evict(set: &mut Vec<i32>, scores: &[f64], k: usize) {
    let mut order: Vec<usize> = (0..set.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(k);
    order.sort_unstable();
    *set = order.into_iter().map(|index| set[index]).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_goes_and_of_equals_the_later_one() {
        let mut set = vec![2, 3, 5, 8];
        evict(&mut set, &[0.3, 0.1, 0.1, 0.5], 3);
        assert_eq!(set, [2, 3, 8]);
        evict(&mut set, &[0.0, 0.0, 0.0], 4);
        assert_eq!(set, [2, 3, 8]);
    }
}
