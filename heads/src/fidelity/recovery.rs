//! What sets keep of the attention.

use super::observed::Observed;

/// The recovery rate on one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptRecovery {
    /// The prompt's number.
    pub prompt: u32,
    /// By target layer, in the order of the capture: the mean over heads, rows and steps.
    pub layers: Vec<f64>,
}

impl PromptRecovery {
    /// The mean over layers.
    #[must_use]
    pub fn mean(&self) -> f64 {
        mean(self.layers.iter().copied())
    }

    /// What `sets` keep, one for each step: ascending positions, or nothing for all of them.
    pub(super) fn of(observed: &Observed, sets: &[Option<&[i32]>]) -> Self {
        let of_layer = |attention: &Vec<f32>| {
            let steps = observed.steps.parts(attention).zip(sets);
            mean(steps.map(|(attention, set)| match set {
                Some(set) => set.iter().map(|&position| f64::from(attention[position as usize])).sum(),
                None => attention.iter().map(|&mass| f64::from(mass)).sum(),
            }))
        };
        Self { prompt: observed.prompt, layers: observed.attention.iter().map(of_layer).collect() }
    }
}

/// The recovery rates on all judged prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveryRate {
    /// By prompt.
    pub prompts: Vec<PromptRecovery>,
}

impl RecoveryRate {
    /// The mean over prompts.
    #[must_use]
    pub fn mean(&self) -> f64 {
        mean(self.prompts.iter().map(PromptRecovery::mean))
    }

    /// The means of the prompts: what the bounds of the bootstrap take.
    #[must_use]
    pub fn by_prompt(&self) -> Vec<f64> {
        self.prompts.iter().map(PromptRecovery::mean).collect()
    }

    /// By target layer, in the order of the capture: the mean over prompts.
    #[must_use]
    pub fn by_layer(&self) -> Vec<f64> {
        let layers = self.prompts.first().map_or(0, |prompt| prompt.layers.len());
        (0..layers).map(|layer| mean(self.prompts.iter().map(|prompt| prompt.layers[layer]))).collect()
    }
}

/// 0 of nothing, which no judged prompt has.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
