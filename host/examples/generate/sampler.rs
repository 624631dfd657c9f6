//! Candidates from a draft's logits: the best, or drawn.

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

/// How tokens are chosen.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    /// 0: the best.
    pub(crate) temperature: f32,
    /// What acceptance draws by.
    pub(crate) seed: u64,
    random: Pcg64Mcg,
}

impl Sampler {
    pub(crate) fn new(temperature: f32, seed: u64) -> Self {
        // What drafts are drawn by must not follow from acceptance's seed.
        Self { temperature, seed, random: Pcg64Mcg::seed_from_u64(seed ^ 0x9e37_79b9_7f4a_7c15) }
    }

    /// `count` different tokens, the first ones' weight gone when the next is drawn.
    pub(crate) fn candidates(&mut self, logits: &[f32], count: usize) -> Vec<i32> {
        let mut weights = probabilities(logits, self.temperature);
        let mut tokens = Vec::new();
        for _ in 0..count {
            let sum: f64 = weights.iter().sum();
            let mut left = self.random.random_range(0.0..1.0) * sum;
            let drawn = weights.iter().position(|&weight| {
                left -= weight;
                left < 0.0
            });
            let token = if self.temperature > 0.0 { drawn } else { None }.unwrap_or_else(|| best(&weights));
            tokens.push(token as i32);
            weights[token] = 0.0;
        }
        tokens
    }
}

/// What tokens of such logits are drawn by; at temperature 0, where nothing is drawn, as at 1.
pub(crate) fn probabilities(logits: &[f32], temperature: f32) -> Vec<f64> {
    let temperature = if temperature > 0.0 { f64::from(temperature) } else { 1.0 };
    let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
    let weights = logits.iter().map(|&logit| (f64::from(logit - greatest) / temperature).exp());
    let weights: Vec<f64> = weights.collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// The token of the greatest score; of several the first.
pub(crate) fn best<T: PartialOrd + Copy>(scores: &[T]) -> usize {
    (1..scores.len()).fold(0, |best, token| if scores[token] > scores[best] { token } else { best })
}
