//! Figures by prompt and layer: what sets keep of the attention, and by how much their outputs differ.

use super::{
    bootstrap::{Bound, lower_bound_of_mean},
    observed::Observed,
    sets::PromptSets,
};

/// What sets keep of the attention, from 0 to 1.
pub type RecoveryRate = Measure;

/// By how much outputs of attention over sets differ from those over all tokens: the norm of the difference, relative to that of the
/// latter.
pub type OutputError = Measure;

/// A recovery rate on one prompt.
pub type PromptRecovery = PromptMeasure;

/// A figure of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptMeasure {
    /// The prompt's number.
    pub prompt: u32,
    /// By target layer, in the order of the capture: the mean over heads, rows and steps.
    pub layers: Vec<f64>,
}

impl PromptMeasure {
    /// The mean over layers.
    #[must_use]
    pub fn mean(&self) -> f64 {
        mean(self.layers.iter().copied())
    }
}

/// What `sets` keep of a prompt's attention; without any, what all confirmed tokens have.
pub(super) fn recovery(observed: &Observed, sets: Option<&PromptSets>) -> PromptRecovery {
    let of_layer = |attention: &Vec<f32>| {
        let steps = observed.steps.parts(attention).enumerate();
        mean(steps.map(|(step, attention)| match sets.and_then(|sets| sets.positions(step)) {
            Some(set) => set.iter().map(|&position| f64::from(attention[position as usize])).sum(),
            None => attention.iter().map(|&mass| f64::from(mass)).sum(),
        }))
    };
    PromptMeasure { prompt: observed.prompt, layers: observed.attention.iter().map(of_layer).collect() }
}

/// A figure of all judged prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// By prompt.
    pub prompts: Vec<PromptMeasure>,
}

impl Measure {
    /// The mean over prompts.
    #[must_use]
    pub fn mean(&self) -> f64 {
        mean(self.prompts.iter().map(PromptMeasure::mean))
    }

    /// The means of the prompts: what the bounds of the bootstrap take.
    #[must_use]
    pub fn by_prompt(&self) -> Vec<f64> {
        self.prompts.iter().map(PromptMeasure::mean).collect()
    }

    /// By target layer, in the order of the capture: the mean over prompts.
    #[must_use]
    pub fn by_layer(&self) -> Vec<f64> {
        self.layers().map(|layer| mean(layer.into_iter())).collect()
    }

    /// By target layer, in the order of the capture: the lower bound of the mean over prompts, each for itself. Nothing where
    /// [`lower_bound_of_mean`] has none.
    #[must_use]
    pub fn lower_bounds_by_layer(&self, bound: Bound) -> Vec<Option<f64>> {
        self.layers().map(|layer| lower_bound_of_mean(&layer, bound)).collect()
    }

    /// By target layer, the figures of the prompts.
    fn layers(&self) -> impl Iterator<Item = Vec<f64>> {
        let layers = self.prompts.iter().map(|prompt| prompt.layers.len()).min().unwrap_or(0);
        (0..layers).map(|layer| self.prompts.iter().map(|prompt| prompt.layers[layer]).collect())
    }
}

/// 0 of nothing, which no judged prompt has.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
