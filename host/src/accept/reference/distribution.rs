//! A distribution over the vocabulary in f64, and how far one in f32 may be from it.

use dustin_kernels::accept::draws::{Draws, REFINED_BELOW};

use crate::accept::problem::ScoreKind;

/// The relative error of a probability in f32: of an exponential, of a sum of the vocabulary's, of a quotient.
const RELATIVE: f64 = 2e-5;
/// What an exponent of 1 in units of log2 adds to that.
const OF_EXPONENT: f64 = 2.4e-7;
/// Binary exponents below this give 0: exponentials are no denormal numbers.
const LEAST_EXPONENT: f64 = -126.0;
/// Probabilities count as no more than this.
const MOST: f64 = (1_u128 << 100) as f64;

/// Probabilities, and bounds of their errors.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    p: Vec<f64>,
    error: Vec<f64>,
}

/// What a draw gives.
pub(super) struct Winner {
    pub(super) token: u32,
    /// Whether `other` might have won, for all that f32 can tell.
    pub(super) or_other: bool,
}

impl Distribution {
    /// That of a row of scores at `temperature`, not negative; nothing where no token has any weight.
    pub(super) fn of_scores(scores: &[f32], kind: ScoreKind, temperature: f32) -> Option<Self> {
        let max = greatest(scores);
        let exponent = |score: f32| match kind {
            ScoreKind::Logits if score == max => 0.0,
            ScoreKind::Logits => {
                let exponent = (f64::from(score) - f64::from(max)) / f64::from(temperature);
                exponent * std::f64::consts::LOG2_E
            }
            ScoreKind::Probabilities => 0.0,
        };
        let weight = |score: f32| match kind {
            ScoreKind::Logits if exponent(score) >= LEAST_EXPONENT => exponent(score).exp2(),
            ScoreKind::Logits => 0.0,
            ScoreKind::Probabilities if score > 0.0 => f64::from(score).min(MOST),
            ScoreKind::Probabilities => 0.0,
        };
        let floor = if kind == ScoreKind::Logits { f32::NEG_INFINITY } else { 0.0 };
        // Also where all are NaN.
        if max.partial_cmp(&floor) != Some(std::cmp::Ordering::Greater) {
            return None;
        }
        let sum: f64 = scores.iter().map(|&score| weight(score)).sum();
        let p: Vec<f64> = scores.iter().map(|&score| weight(score) / sum).collect();
        let error = |(&score, p): (&f32, &f64)| {
            let exponent = exponent(score).abs();
            if *p > 0.0 { p * (RELATIVE + OF_EXPONENT * exponent) } else { 0.0 }
        };
        let error = scores.iter().zip(&p).map(error).collect();
        Some(Self { p, error })
    }

    pub(super) fn of(&self, token: u32) -> f64 {
        self.p[token as usize]
    }

    pub(super) fn error(&self, token: u32) -> f64 {
        self.error[token as usize]
    }

    /// Without `token`; nothing where that leaves nothing.
    pub(super) fn without(&self, token: u32) -> Option<Self> {
        let mut rest = self.clone();
        (rest.p[token as usize], rest.error[token as usize]) = (0.0, 0.0);
        rest.normalised()
    }

    /// `norm(max(self - other, 0))`, without `rejected`; nothing where that leaves nothing.
    pub(super) fn less(&self, other: &Self, rejected: u32) -> Option<Self> {
        let mut rest = self.clone();
        for (token, (p, error)) in rest.p.iter_mut().zip(&mut rest.error).enumerate() {
            *p -= other.p[token];
            *error += other.error[token];
            if *p < -*error || token == rejected as usize {
                (*p, *error) = (0.0, 0.0);
            }
            *p = p.max(0.0);
        }
        rest.normalised()
    }

    fn normalised(mut self) -> Option<Self> {
        let (sum, error): (f64, f64) = (self.p.iter().sum(), self.error.iter().sum());
        if sum == 0.0 {
            return None;
        }
        for (p, own) in self.p.iter_mut().zip(&mut self.error) {
            *p /= sum;
            *own = (*own + *p * error) / sum;
        }
        Some(self)
    }

    /// Whether rounding might have left nothing.
    pub(super) fn is_doubtful(&self) -> bool {
        self.p.iter().zip(&self.error).all(|(p, error)| p <= error)
    }

    /// The race of all tokens at `row`.
    pub(super) fn draw(&self, draws: &Draws, row: u32, other: Option<u32>) -> Winner {
        let exponential = |token: u32| {
            let word = draws.race(row, token / 4)[token as usize % 4];
            let v = if word < REFINED_BELOW {
                let bits = u64::from(word) << 32 | u64::from(draws.refinement(row, token));
                (bits as f64 + 0.5) / (1_u128 << 64) as f64
            } else {
                (f64::from(word) + 0.5) / (1_u64 << 32) as f64
            };
            -(-v).ln_1p()
        };
        let (mut token, mut least, mut least_surely) = (0, f64::INFINITY, f64::INFINITY);
        for candidate in 0..self.p.len() as u32 {
            let (p, error) = (self.of(candidate), self.error(candidate));
            if p > 0.0 || error > 0.0 {
                let variable = exponential(candidate);
                if variable / p < least {
                    (token, least) = (candidate, variable / p);
                }
                if p > error {
                    least_surely = least_surely.min(variable * (1.0 + RELATIVE) / (p - error));
                }
            }
        }
        let at_best = |candidate: u32| {
            let reach = self.of(candidate) + self.error(candidate);
            exponential(candidate) * (1.0 - RELATIVE) / reach
        };
        let or_other = other.is_some_and(|other| {
            (other as usize) < self.p.len()
                && self.of(other) + self.error(other) > 0.0
                && at_best(other) <= least_surely
        });
        Winner { token, or_other }
    }
}

/// The greatest score, NaN left out; negative infinity where there is none.
fn greatest(scores: &[f32]) -> f32 {
    scores.iter().fold(f32::NEG_INFINITY, |max, &score| if score > max { score } else { max })
}

/// The lowest token with the greatest score; 0 where no score is above negative infinity.
pub(super) fn best(scores: &[f32]) -> u32 {
    let max = greatest(scores);
    let place = scores.iter().position(|&score| score == max && max > f32::NEG_INFINITY);
    place.unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probabilities(p: &[f32]) -> Distribution {
        Distribution::of_scores(p, ScoreKind::Probabilities, 1.0).unwrap()
    }

    fn assert_is(distribution: &Distribution, expected: &[f64]) {
        for (token, expected) in (0..).zip(expected) {
            assert!((distribution.of(token) - expected).abs() < 1e-7, "{token}: {distribution:?}");
        }
    }

    #[test]
    fn weights_are_what_the_kinds_of_scores_say() {
        let logits = |scores: &[f32], t| Distribution::of_scores(scores, ScoreKind::Logits, t);
        let two = 2.0 * std::f32::consts::LN_2;
        assert_is(&logits(&[two, 0.0, f32::NAN, f32::NEG_INFINITY], 1.0).unwrap(), &[0.8, 0.2, 0.0, 0.0]);
        assert_is(&logits(&[two, 0.0], 2.0).unwrap(), &[2.0 / 3.0, 1.0 / 3.0]);
        assert_is(&logits(&[3.0, f32::INFINITY, f32::INFINITY], 1.0).unwrap(), &[0.0, 0.5, 0.5]);
        assert_is(&logits(&[9.0, 1.0, f32::NEG_INFINITY], f32::INFINITY).unwrap(), &[0.5, 0.5, 0.0]);
        assert!(logits(&[f32::NAN, f32::NEG_INFINITY], 1.0).is_none());
        assert_is(&probabilities(&[1.0, -1.0, f32::NAN, 3.0]), &[0.25, 0.0, 0.0, 0.75]);
        assert_is(&probabilities(&[1.0, f32::INFINITY]), &[0.0, 1.0]);
        assert!(Distribution::of_scores(&[0.0, -1.0], ScoreKind::Probabilities, 1.0).is_none());
    }

    #[test]
    fn what_is_left_is_normalised() {
        let (p, q) = (probabilities(&[0.5, 0.3, 0.2]), probabilities(&[0.2, 0.7, 0.1]));
        assert_is(&p.less(&q, 1).unwrap(), &[0.75, 0.0, 0.25]);
        assert_is(&q.without(1).unwrap(), &[2.0 / 3.0, 0.0, 1.0 / 3.0]);
        assert!(p.less(&p, 0).is_none_or(|left| left.is_doubtful()));
        assert!(probabilities(&[0.0, 1.0]).without(1).is_none());
    }

    #[test]
    fn the_best_token_is_the_lowest_of_the_greatest() {
        assert_eq!(best(&[1.0, f32::NAN, 3.0, 3.0]), 2);
        assert_eq!(best(&[-0.0, 0.0]), 0);
        assert_eq!(best(&[f32::NAN, f32::NEG_INFINITY]), 0);
    }

    #[test]
    fn a_race_is_won_as_often_as_weights_say() {
        let p = probabilities(&[0.5, 0.0, 0.3, 0.2]);
        let mut won = [0; 4];
        for step in 0..40_000 {
            won[p.draw(&Draws::new(5, step), 3, None).token as usize] += 1;
        }
        assert_eq!(won[1], 0);
        for (token, expected) in [(0, 20_000.0), (2, 12_000.0), (3, 8000.0_f64)] {
            assert!((f64::from(won[token]) - expected).abs() < 5.0 * expected.sqrt(), "{won:?}");
        }
    }

    #[test]
    fn only_tokens_within_rounding_of_the_winner_might_have_won() {
        let p = probabilities(&[0.25; 4]);
        let draws = Draws::new(1, 1);
        let winner = p.draw(&draws, 0, None).token;
        for other in 0..4 {
            assert_eq!(p.draw(&draws, 0, Some(other)).or_other, other == winner);
        }
        assert!(!p.draw(&draws, 0, Some(9)).or_other);
    }
}
