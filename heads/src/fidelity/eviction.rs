//! Baselines that evict: what methods keep that choose a cache's tokens once, when the prompt has been read, for each layer and KV head.

use dustin::{
    InvalidInput,
    cpu::{CpuBackend, select::default_candidate},
    select::{
        arrays::{SelectArrays, SelectOutput, SelectStrides},
        problem::SelectProblem,
    },
};

use super::{
    FidelityError, PromptMeasure, PromptRecovery, StepPlan,
    attend::{Heads, gather},
    error::invalid,
    observed::{Observed, add_attention, each_group},
    output::layer_errors,
    steps::Packed,
};
use crate::calibration::{Capture, Layer, ModelRole};

/// A method that keeps the prompt's last tokens, its *window*, and those before that the window's queries attended to most. All tokens of
/// the continuation are kept besides, as both methods do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Tokens of the prompt that are kept, for each KV head in the mean over layers.
    pub k: u32,
    /// Tokens of the window, below k. As many of the prompt's last queries must have been captured.
    pub window: u32,
    /// Scores that are averaged, odd.
    pub pooling: u32,
    /// How k is shared among layers.
    pub shares: LayerShares,
}

/// How a budget is shared among the layers of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerShares {
    /// Evenly: SnapKV ([arXiv 2404.14469](https://arxiv.org/abs/2404.14469)).
    Even,
    /// PyramidKV ([arXiv 2406.02069](https://arxiv.org/abs/2406.02069)): falling from layer to layer by equal amounts, so that the last
    /// one has, besides the window, 1 / `beta` of the mean. Published with 20.
    Pyramid {
        /// At least 1.
        beta: u32,
    },
}

impl Eviction {
    /// Tokens of the prompt that `layer` of a model of `layers` keeps.
    fn budget(&self, layer: u32, layers: u32) -> u32 {
        let mean = self.k - self.window;
        match self.shares {
            LayerShares::Even => self.k,
            LayerShares::Pyramid { beta } => {
                let least = mean / beta;
                let most = 2 * mean - least;
                let fall = (most - least) as f64 / f64::from(layers.max(2) - 1);
                self.window + (f64::from(most) - f64::from(layer) * fall).round() as u32
            }
        }
    }

    fn validate(&self) -> Result<(), FidelityError> {
        if self.window == 0 || self.window >= self.k {
            return Err(invalid("window", format!("from 1 to below k, {}", self.k), self.window));
        }
        // A layer may have twice as many.
        if self.k > 1 << 30 {
            return Err(invalid("k", format!("at most {}", 1 << 30), self.k));
        }
        if self.shares == (LayerShares::Pyramid { beta: 0 }) {
            return Err(invalid("beta", "at least 1", 0));
        }
        Ok(())
    }
}

/// What `eviction` keeps of the steps of a prompt.
pub(super) fn recovery(
    capture: &Capture,
    backend: &mut CpuBackend,
    plan: StepPlan,
    observed: &Observed,
    eviction: Eviction,
) -> Result<PromptRecovery, FidelityError> {
    let model = capture.model(ModelRole::Target)?;
    let first_query = capture.prompt(observed.prompt)?.first_query;
    each_layer(capture, backend, observed, eviction, |backend, layer, sets| {
        let mut kept = 0.0;
        each_group(model, layer, |kv_row, heads| {
            let mut attention = vec![0.0; observed.steps.positions()];
            let all = model.heads.len();
            add_attention(backend, heads, plan, first_query, &observed.steps, all, &mut attention)?;
            for (&length, part) in observed.steps.lengths.iter().zip(observed.steps.parts(&attention)) {
                let set = below(&sets[kv_row], length);
                kept += set.iter().map(|&position| f64::from(part[position as usize])).sum::<f64>();
            }
            Ok(())
        })?;
        Ok(kept / observed.steps.lengths.len() as f64)
    })
}

/// The output error of what `eviction` keeps.
pub(super) fn output_error(
    capture: &Capture,
    backend: &mut CpuBackend,
    plan: StepPlan,
    observed: &Observed,
    eviction: Eviction,
) -> Result<PromptMeasure, FidelityError> {
    each_layer(capture, backend, observed, eviction, |backend, layer, sets| {
        let set = |_, kv_row: usize, step: usize| Some(below(&sets[kv_row], observed.steps.lengths[step]));
        Ok(layer_errors(capture, backend, plan, observed, layer, 1, set)?[0])
    })
}

/// A figure of each layer, which `figure` computes from what is kept for each KV head: ascending positions, all of the continuation among
/// them.
fn each_layer(
    capture: &Capture,
    backend: &mut CpuBackend,
    observed: &Observed,
    eviction: Eviction,
    mut figure: impl FnMut(&mut CpuBackend, &Layer, &[Vec<i32>]) -> Result<f64, FidelityError>,
) -> Result<PromptMeasure, FidelityError> {
    eviction.validate()?;
    let model = capture.model(ModelRole::Target)?;
    let prompt = capture.prompt(observed.prompt)?;
    let (read, first_query) = (prompt.prompt_tokens, prompt.first_query);
    if read - first_query < eviction.window {
        let required =
            format!("at most {}, the queries captured of prompt {}", read - first_query, observed.prompt);
        return Err(invalid("window", required, eviction.window));
    }
    let mut layers = Vec::new();
    for &number in &model.layers {
        let layer = capture.layer(ModelRole::Target, observed.prompt, number)?;
        let budget = eviction.budget(number, model.geometry.layers);
        let mut sets = Vec::new();
        each_group(model, &layer, |_, heads| {
            let mut set = choose(backend, heads, eviction, budget, [first_query, read])?;
            set.extend(read.cast_signed()..prompt.tokens.cast_signed());
            sets.push(set);
            Ok(())
        })?;
        layers.push(figure(backend, &layer, &sets)?);
    }
    Ok(PromptMeasure { prompt: observed.prompt, layers })
}

/// The positions of ascending ones that are confirmed at `length`.
fn below(set: &[i32], length: i32) -> &[i32] {
    &set[..set.partition_point(|&position| position < length)]
}

/// The positions of the prompt that the KV head of `heads` keeps, ascending.
fn choose(
    backend: &mut CpuBackend,
    heads: &Heads<'_>,
    eviction: Eviction,
    budget: u32,
    [first_query, read]: [u32; 2],
) -> Result<Vec<i32>, InvalidInput> {
    let before = read - eviction.window;
    let window = Packed::new((before..read).map(|position| position + 1));
    let slots: Vec<i32> = (before..read).map(|position| (position - first_query).cast_signed()).collect();
    let mut attention = vec![0.0; window.positions()];
    gather(backend, heads, &slots, 1, &window, 1.0, &mut attention)?;
    // The window itself has no scores, which pooling would spread.
    let mut map = vec![0.0; read as usize];
    for row in window.parts(&attention) {
        map.iter_mut().zip(&row[..before as usize]).for_each(|(sum, probability)| *sum += probability);
    }
    let (recent, pooling) = (eviction.window, eviction.pooling);
    let budget = budget.min(read);
    let problem = SelectProblem { recent, pooling, ..SelectProblem::plain(1, read, budget) };
    let candidate = default_candidate(&problem, backend.limits())?;
    let length = read.cast_signed();
    let arrays = SelectArrays {
        draft: None,
        target: Some(&map),
        map_starts: &[0, length],
        lengths: &[length],
        target_slots: None,
        block_table: None,
        strides: SelectStrides::dense(&problem),
    };
    let (mut set, mut size) = (vec![0; budget as usize], [0]);
    let output = SelectOutput { set: &mut set, physical: None, set_sizes: &mut size };
    let status = backend.select(&problem, &candidate, &arrays, output)?;
    debug_assert_eq!(status, 0, "the length is the map's");
    set.truncate(size[0] as usize);
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pyramid_falls_evenly_and_keeps_the_mean() {
        let shares = LayerShares::Pyramid { beta: 20 };
        let eviction = Eviction { k: 528, window: 16, pooling: 5, shares };
        let budgets: Vec<u32> = (0..32).map(|layer| eviction.budget(layer, 32)).collect();
        assert_eq!((budgets[0], budgets[31]), (2 * 512 - 25 + 16, 25 + 16));
        assert!(budgets.is_sorted_by(|a, b| a > b));
        assert!(budgets.iter().sum::<u32>().abs_diff(32 * 528) <= 16);
        assert_eq!(eviction.budget(0, 1), 2 * 512 - 25 + 16);
    }
}
