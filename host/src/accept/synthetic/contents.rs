//! Scores, and drafts drawn from them.

use rand::{Rng, RngExt};

use super::recipe::Contents;
use crate::{
    Dtype,
    accept::problem::{ScoreKind, ScoreType, Scores},
    element::{decode, encode},
    error::InvalidInput,
    synthetic::room,
};

/// Scores in host memory, with arrays of their own.
#[derive(Clone, Debug, PartialEq)]
pub enum ScoreArray {
    /// f32.
    F32(Vec<f32>),
    /// 16-bit items as their bits.
    Half(Vec<u16>),
}

impl ScoreArray {
    /// `items` items that are NaN.
    pub(super) fn poisoned(dtype: ScoreType, items: u64) -> Result<Self, InvalidInput> {
        Ok(if dtype == ScoreType::F32 {
            let mut array = room(items)?;
            array.resize(items as usize, f32::NAN);
            Self::F32(array)
        } else {
            Self::Half(crate::synthetic::nans(items)?)
        })
    }

    /// Writes item `index` of an array of type `dtype`, and returns what was rounded to.
    pub(super) fn set(&mut self, dtype: ScoreType, index: usize, value: f32) -> f32 {
        match self {
            Self::F32(items) => {
                items[index] = value;
                value
            }
            Self::Half(items) => {
                let dtype = if dtype == ScoreType::F16 { Dtype::F16 } else { Dtype::Bf16 };
                items[index] = encode(dtype, value);
                decode(dtype, items[index])
            }
        }
    }
}

/// A normally distributed number, by the method of Box and Muller.
fn normal(rng: &mut impl Rng) -> f32 {
    let (radius, angle): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
    (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
}

/// The logits of a target's row.
pub(super) fn target_logits(contents: &Contents, vocabulary: u32, rng: &mut impl Rng) -> Vec<f32> {
    let logit = |rng: &mut _| {
        let logit = contents.spread * normal(rng);
        if contents.coarse { (2.0 * logit).round() / 2.0 } else { logit }
    };
    let mut logits: Vec<f32> = (0..vocabulary).map(|_| logit(rng)).collect();
    if contents.infinities {
        for logit in logits.iter_mut().skip(1).step_by(3) {
            *logit = f32::NEG_INFINITY;
        }
        if rng.random_range(0..8) == 0 {
            logits[rng.random_range(0..vocabulary as usize)] = f32::INFINITY;
        }
    }
    logits
}

/// The logits of the draft that agrees with a target's as far as the contents say.
pub(super) fn draft_logits(contents: &Contents, target: &[f32], rng: &mut impl Rng) -> Vec<f32> {
    let own = 1.0 - contents.agreement;
    let mix = |&logit: &f32| {
        if own == 0.0 || logit.is_infinite() {
            logit
        } else {
            contents.agreement * logit + own * contents.spread * normal(rng)
        }
    };
    target.iter().map(mix).collect()
}

/// What is written of logits: they, or their probabilities at `temperature`.
pub(super) fn scores(of: Scores, logits: &[f32], temperature: f32) -> Vec<f32> {
    match of.kind {
        ScoreKind::Logits => logits.to_vec(),
        ScoreKind::Probabilities => {
            let temperature = if temperature > 0.0 { temperature } else { 1.0 };
            let weights = weights(ScoreKind::Logits, logits, temperature);
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|weight| (weight / sum) as f32).collect()
        }
    }
}

/// The weights of scores that are not NaN.
fn weights(kind: ScoreKind, scores: &[f32], temperature: f32) -> Vec<f64> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |&score: &f32| match kind {
        ScoreKind::Logits if score == max => 1.0,
        ScoreKind::Logits => {
            let weight = (f64::from(score - max) / f64::from(temperature)).exp();
            if weight.is_nan() { 0.0 } else { weight }
        }
        ScoreKind::Probabilities => f64::from(score.max(0.0)),
    };
    scores.iter().map(weight).collect()
}

/// Draws `count` tokens from scores: mostly as they say, now and then any, or the best.
pub(super) fn draw(
    kind: ScoreKind,
    scores: &[f32],
    temperature: f32,
    count: usize,
    without_replacement: bool,
    rng: &mut impl Rng,
) -> Vec<i32> {
    let temperature = if temperature > 0.0 { temperature } else { 1.0 };
    let mut weights = weights(kind, scores, temperature);
    (0..count)
        .map(|_| {
            let sum: f64 = weights.iter().sum();
            let best = (0..weights.len()).fold(0, |a, b| if scores[b] > scores[a] { b } else { a });
            let token = match rng.random_range(0..12) {
                0 => rng.random_range(0..weights.len()),
                1..4 => best,
                _ => {
                    let mut rest = rng.random::<f64>() * sum;
                    let found = weights.iter().position(|weight| {
                        rest -= weight;
                        rest < 0.0
                    });
                    found.unwrap_or(best)
                }
            };
            if without_replacement {
                weights[token] = 0.0;
            }
            token as i32
        })
        .collect()
}
