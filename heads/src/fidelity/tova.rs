//! The baseline TOVA ([arXiv 2401.06104](https://arxiv.org/abs/2401.06104)): each layer keeps k tokens; with every token that comes, that one
//! goes which it attends to least, in the mean over the layer's heads, of those that are still there.

use dustin::cpu::CpuBackend;

use super::{
    FidelityError, PromptMeasure, PromptRecovery,
    attend::gather,
    error::invalid,
    observed::{Observed, heads_of},
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
    if k == 0 {
        return Err(invalid("k", "at least 1", k));
    }
    let (model, prompt) = (capture.model(ModelRole::Target)?, capture.prompt(observed.prompt)?);
    let mut layers = Vec::new();
    for (&number, attention) in model.layers.iter().zip(&observed.attention) {
        let layer = capture.layer(ModelRole::Target, observed.prompt, number)?;
        // The last token of the prompt chooses among all of it.
        let mut next = prompt.prompt_tokens - 1;
        let mut set: Vec<u32> = (0..next).collect();
        let mut kept = 0.0;
        for (&length, part) in observed.steps.lengths.iter().zip(observed.steps.parts(attention)) {
            while next < length.cast_unsigned() {
                set.push(next);
                let scores = scores(backend, model, prompt, &layer, next, &set)?;
                evict(&mut set, &scores, k as usize);
                next += 1;
            }
            kept += set.iter().map(|&position| f64::from(part[position as usize])).sum::<f64>();
        }
        layers.push(kept / observed.steps.lengths.len() as f64);
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
    set: &[u32],
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
fn evict(set: &mut Vec<u32>, scores: &[f64], k: usize) {
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
