//! Rankings of a model's query heads: each layer's, best first, and scores where they are known.
//!
//! CompressKV ([arXiv 2508.02401](https://arxiv.org/abs/2508.02401)) publishes `head_idx.json` and `head_score.json`; captures have
//! the scores of their own prompts.

mod error;
mod files;

use dustin::{geometry::Geometry, profile::LayerHeads};

pub use self::error::RankingError;
use crate::{
    calibration::{CalibrationError, Capture, ModelRole},
    field::FieldError,
};

/// The query heads of a model by how well they find the tokens that an answer lies in.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadRanking {
    /// Each layer's query heads, best first: `[layers][query heads]`.
    order: Vec<Vec<u32>>,
    /// Each head's score, by its number, if it is known: `[layers][query heads]`.
    scores: Option<Vec<Vec<f64>>>,
}

impl HeadRanking {
    /// The ranking by `scores`, `[layers][query heads]`, all finite: best first, equals by their number.
    fn by_scores(scores: Vec<Vec<f64>>) -> Self {
        let order = |scores: &Vec<f64>| {
            let mut heads: Vec<u32> = (0..scores.len() as u32).collect();
            heads.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
            heads
        };
        Self { order: scores.iter().map(order).collect(), scores: Some(scores) }
    }

    /// The ranking of a capture's own scores: by their mean over the ranked prompts. Nothing if heads were not ranked.
    ///
    /// # Errors
    /// The capture has no such model, or the scores cannot be read or are not finite.
    pub fn of_capture(capture: &Capture, role: ModelRole) -> Result<Option<Self>, CalibrationError> {
        let Some(tensor) = capture.scores(role)? else { return Ok(None) };
        let [prompts, layers, heads] = tensor.shape();
        let scores = tensor.floats(0..prompts);
        let mean = |layer: usize, head: usize| {
            let of_prompt = |prompt: usize| f64::from(scores[(prompt * layers + layer) * heads + head]);
            (0..prompts).map(of_prompt).sum::<f64>() / prompts as f64
        };
        let layer = |layer| (0..heads).map(|head| mean(layer, head)).collect();
        Ok(Some(Self::by_scores((0..layers).map(layer).collect())))
    }

    /// Layers that are ranked: all of the model's.
    #[must_use]
    pub fn layers(&self) -> u32 {
        self.order.len() as u32
    }

    /// The heads of a layer, best first; nothing of a layer that there is not.
    #[must_use]
    pub fn of_layer(&self, layer: u32) -> &[u32] {
        self.order.get(layer as usize).map_or(&[], Vec::as_slice)
    }

    /// A head's score, if scores are known.
    #[must_use]
    pub fn score(&self, layer: u32, head: u32) -> Option<f64> {
        self.scores.as_ref()?.get(layer as usize)?.get(head as usize).copied()
    }

    /// Whether scores are known and say nothing: a model that never copied a needle.
    #[must_use]
    pub fn is_all_zero(&self) -> bool {
        self.scores.as_ref().is_some_and(|scores| scores.iter().flatten().all(|&score| score == 0.0))
    }

    /// The `count` best heads of each of `layers`, as profiles have them: ascending, layers that there are not left out.
    #[must_use]
    pub fn best_of(&self, layers: &[u32], count: usize) -> Vec<LayerHeads> {
        let mut layers: Vec<u32> = layers.iter().copied().filter(|&layer| layer < self.layers()).collect();
        layers.sort_unstable();
        layers.dedup();
        let of = |layer: u32| {
            let mut heads: Vec<u32> = self.of_layer(layer).iter().copied().take(count).collect();
            heads.sort_unstable();
            LayerHeads { layer, heads }
        };
        layers.into_iter().map(of).collect()
    }

    /// The `count` best layers by the mean score of their `heads` best heads, best first, equals by their number; nothing if scores are
    /// not known, as orders of heads do not compare layers.
    #[must_use]
    pub fn best_layers(&self, count: usize, heads: usize) -> Option<Vec<u32>> {
        self.scores.as_ref()?;
        let sum = |layer: u32| -> f64 {
            self.of_layer(layer).iter().take(heads).filter_map(|&head| self.score(layer, head)).sum()
        };
        let mut layers: Vec<(u32, f64)> = (0..self.layers()).map(|layer| (layer, sum(layer))).collect();
        layers.sort_by(|a, b| b.1.total_cmp(&a.1));
        Some(layers.into_iter().take(count).map(|(layer, _)| layer).collect())
    }

    /// Refuses a ranking of another geometry's heads.
    fn require(file: &str, order: &[Vec<u32>], geometry: Geometry) -> Result<(), RankingError> {
        for (layer, heads) in order.iter().enumerate() {
            if let Some(&head) = heads.iter().find(|&&head| head >= geometry.query_heads) {
                return Err(FieldError::new(
                    file,
                    format!("layer {layer}"),
                    format!("heads below {}, the model's query heads", geometry.query_heads),
                    head,
                )
                .into());
            }
            let mut sorted = heads.clone();
            sorted.sort_unstable();
            sorted.dedup();
            if sorted.len() != heads.len() || heads.len() != geometry.query_heads as usize {
                return Err(FieldError::new(
                    file,
                    format!("layer {layer}"),
                    format!("each of the model's {} query heads once", geometry.query_heads),
                    format!("{} heads, {} of them different", heads.len(), sorted.len()),
                )
                .into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
