//! Rows of scores, and what has to be known of them.

use std::borrow::Cow;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::super::math::exp2;
use crate::accept::{
    arrays::ScoreItems,
    problem::{ScoreKind, ScoreType, Scores},
};

/// Probabilities count as no more than this: 2^100.
const MOST: f32 = (1_u128 << 100) as f32;

/// A row of scores, and the figures that its tokens' probabilities follow from.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    scores: Cow<'a, [f32]>,
    measure: Measure,
    max: f32,
    /// 1 / the sum of the weights; 0 where there are none.
    inverse_sum: f32,
    pub(super) has_nan: bool,
}

/// How scores become weights.
#[derive(Clone, Copy, Debug)]
struct Measure {
    kind: ScoreKind,
    /// log2(e) / temperature.
    scale_log2: f32,
}

impl Measure {
    #[inline(always)]
    fn weight(self, score: f32, max: f32) -> f32 {
        // The greater of NaN and 0 is 0.
        match self.kind {
            ScoreKind::Logits if score == max => 1.0,
            ScoreKind::Logits => exp2((score - max) * self.scale_log2).max(0.0),
            ScoreKind::Probabilities if score > 0.0 => score.min(MOST),
            ScoreKind::Probabilities => 0.0,
        }
    }
}

impl<'a> Row<'a> {
    /// Row `index` of `items`, which lie `stride` apart; weights are summed up unless the sequence is greedy.
    pub(super) fn new(
        items: ScoreItems<'a>,
        of: Scores,
        index: u32,
        stride: u64,
        vocabulary: u32,
        temperature: f32,
    ) -> Self {
        let first = index as usize * stride as usize;
        let range = first..first + vocabulary as usize;
        let scores = match items {
            ScoreItems::F32(items) => Cow::Borrowed(&items[range]),
            ScoreItems::Half(items) => Cow::Owned(floats(of.dtype, &items[range])),
        };
        let (mut max, mut has_nan) = (f32::NEG_INFINITY, false);
        for &score in scores.iter() {
            max = if score > max { score } else { max };
            has_nan |= score.is_nan();
        }
        let scale_log2 = (std::f32::consts::LOG2_E / temperature).min(f32::MAX);
        let measure = Measure { kind: of.kind, scale_log2 };
        let mut row = Self { scores, measure, max, inverse_sum: 0.0, has_nan };
        if temperature > 0.0 && row.has_mass() {
            // Sums of parts, so that many small weights do not vanish beside a large sum.
            let of_part = |part: &[f32]| part.iter().map(|&score| measure.weight(score, max)).sum::<f32>();
            row.inverse_sum = 1.0 / row.scores.chunks(256).map(of_part).sum::<f32>();
        }
        row
    }

    /// Whether any token has a weight.
    pub(super) fn has_mass(&self) -> bool {
        self.max > if self.measure.kind == ScoreKind::Logits { f32::NEG_INFINITY } else { 0.0 }
    }

    /// The lowest token with the greatest score; 0 where no score is above negative infinity.
    pub(super) fn best(&self) -> u32 {
        let found = self.scores.iter().position(|&score| score == self.max);
        found.filter(|_| self.max > f32::NEG_INFINITY).unwrap_or(0) as u32
    }

    /// The probability of `token`.
    #[inline(always)]
    pub(super) fn probability(&self, token: usize) -> f32 {
        self.measure.weight(self.scores[token], self.max) * self.inverse_sum
    }

    /// Tokens.
    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }
}

fn floats(dtype: ScoreType, items: &[u16]) -> Vec<f32> {
    match dtype {
        ScoreType::F16 => items.reinterpret_cast::<half::f16>().to_f32_vec(),
        ScoreType::F32 | ScoreType::Bf16 => items.reinterpret_cast::<half::bf16>().to_f32_vec(),
    }
}
