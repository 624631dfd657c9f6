//! Whether tokens are distributed as the target's: batches whose drafts are drawn as they must be, counts of what is emitted, and
//! Pearson's chi-square test.

use dustin::accept::{
    arrays::AcceptStrides,
    problem::{AcceptProblem, Draft, ScoreKind, ScoreType, Scores},
    synthetic::{AcceptInput, ScoreArray},
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Tokens of the vocabulary.
pub const VOCABULARY: usize = 12;
/// The temperature of all sequences.
const TEMPERATURE: f32 = 0.7;
/// The quantile of the normal distribution that is exceeded with probability 10^-4.
const QUANTILE: f64 = 3.719_016;

/// How drafts come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drafting {
    /// A chain of so many, each drawn behind the one before.
    Chain(usize),
    /// So many behind the first row, drawn independently.
    Independent(usize),
    /// Likewise without replacement.
    WithoutReplacement(usize),
    /// So many different tokens behind the first row, looked up rather than drawn.
    Certain(usize),
}

impl Drafting {
    /// All that are tested.
    pub const ALL: [Self; 9] = [
        Self::Chain(1),
        Self::Chain(2),
        Self::Chain(4),
        Self::Independent(2),
        Self::Independent(3),
        Self::WithoutReplacement(2),
        Self::WithoutReplacement(3),
        Self::Certain(1),
        Self::Certain(3),
    ];

    fn drafts(self) -> usize {
        let (Self::Chain(n) | Self::Independent(n) | Self::WithoutReplacement(n) | Self::Certain(n)) = self;
        n
    }

    fn is_certain(self) -> bool {
        matches!(self, Self::Certain(_))
    }
}

/// A pair of toy models: what they say depends on the last token.
#[derive(Clone, Debug)]
pub struct Models {
    target: Vec<Vec<f32>>,
    draft: Vec<Vec<f32>>,
}

impl Models {
    /// A random pair that agrees in part.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut logits = |of: Option<&Vec<f32>>| -> Vec<f32> {
            (0..VOCABULARY)
                .map(|token| of.map_or(0.0, |of| 0.4 * of[token]) + rng.random_range(-0.8..0.8))
                .collect()
        };
        // Behind each token, and last behind the prompt.
        let target: Vec<Vec<f32>> = (0..=VOCABULARY).map(|_| logits(None)).collect();
        let draft = target.iter().map(|target| logits(Some(target))).collect();
        Self { target, draft }
    }
}

/// The probabilities of logits.
fn probabilities(logits: &[f32]) -> Vec<f64> {
    let weights = logits.iter().map(|&logit| (f64::from(logit) / f64::from(TEMPERATURE)).exp());
    let weights: Vec<f64> = weights.collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// A token drawn by weights.
fn draw(weights: &[f64], rng: &mut Pcg64Mcg) -> usize {
    let mut rest = rng.random::<f64>() * weights.iter().sum::<f64>();
    let found = weights.iter().position(|weight| {
        rest -= weight;
        rest < 0.0
    });
    found.unwrap_or_else(|| weights.iter().rposition(|&weight| weight > 0.0).expect("a weight"))
}

/// A batch of `count` sequences whose drafts are drawn anew; another `seed` gives others.
#[must_use]
pub fn batch(models: &Models, drafting: Drafting, count: usize, seed: u64) -> AcceptInput {
    let rng = &mut Pcg64Mcg::seed_from_u64(seed);
    let scores = Scores { dtype: ScoreType::F32, kind: ScoreKind::Logits };
    let drafts = drafting.drafts();
    let chain = matches!(drafting, Drafting::Chain(_));
    let draft = Draft {
        scores,
        rows: (count * if chain { drafts } else { 1 }) as u32,
        without_replacement: matches!(drafting, Drafting::WithoutReplacement(_)),
    };
    let rows = drafts + 1;
    let problem = AcceptProblem {
        batch: count as u32,
        rows: rows as u32,
        total_rows: (count * rows) as u32,
        vocabulary: VOCABULARY as u32,
        target: scores,
        draft: (!drafting.is_certain()).then_some(draft),
        tree: !chain,
        new_lengths: false,
    };
    let (mut target, mut drawn_from) = (Vec::new(), Vec::new());
    let (mut tokens, mut parents, mut draft_rows) = (Vec::new(), Vec::new(), Vec::new());
    for sequence in 0..count {
        let mut last = VOCABULARY;
        let mut weights = probabilities(&models.draft[last]);
        for row in 0..rows {
            let token = match (row, drafting) {
                (0, _) => VOCABULARY,
                (_, Drafting::Chain(_)) => draw(&probabilities(&models.draft[last]), rng),
                (_, Drafting::Independent(_)) => draw(&weights, rng),
                // Looked up: always the same tokens.
                (_, Drafting::Certain(_)) => 2 * row,
                (_, Drafting::WithoutReplacement(_)) => {
                    let token = draw(&weights, rng);
                    weights[token] = 0.0;
                    token
                }
            };
            tokens.push(if row == 0 { -1 } else { token as i32 });
            parents.push(if chain { row as i32 - 1 } else { i32::from(row > 0) - 1 });
            draft_rows.push(if row == 0 { sequence as i32 } else { -1 });
            target.extend(&models.target[token]);
            if if chain { row < drafts } else { row == 0 } {
                drawn_from.extend(&models.draft[token]);
            }
            last = token;
        }
    }
    AcceptInput {
        strides: AcceptStrides::dense(&problem),
        target: ScoreArray::F32(target),
        draft: (!drafting.is_certain()).then_some(ScoreArray::F32(drawn_from)),
        draft_rows: problem.names_draft_rows().then_some(draft_rows),
        tokens,
        parents: (!chain).then_some(parents),
        row_starts: (0..=count).map(|sequence| (sequence * rows) as i32).collect(),
        temperatures: vec![TEMPERATURE; count],
        seeds: (0..count as u64).map(|sequence| seed << 32 | sequence).collect(),
        step: seed,
        lengths: None,
        problem,
    }
}

/// How often each token was the first one, and each the second behind each first one.
#[derive(Clone, Debug)]
pub struct Counts {
    first: Vec<u64>,
    second: Vec<Vec<u64>>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { first: vec![0; VOCABULARY], second: vec![vec![0; VOCABULARY]; VOCABULARY] }
    }
}

/// A test's statistic, in units of what is exceeded by chance with probability 10^-4.
#[derive(Clone, Copy, Debug)]
pub struct Excess {
    /// Of the first tokens.
    pub first: f64,
    /// Of the second ones, each given the first.
    pub second: f64,
}

impl Counts {
    /// Counts what a sequence emits.
    ///
    /// # Panics
    /// A token is none of the vocabulary.
    pub fn add(&mut self, emitted: &[i32]) {
        let first = emitted[0] as usize;
        self.first[first] += 1;
        if let Some(&second) = emitted.get(1).filter(|&&token| token >= 0) {
            self.second[first][second as usize] += 1;
        }
    }

    /// Counts what a batch emits, `[batch, rows]`.
    pub fn add_all(&mut self, input: &AcceptInput, emitted: &[i32]) {
        emitted.chunks(input.problem.rows as usize).for_each(|emitted| self.add(emitted));
    }

    /// Compares the counts with what the target says. Each must be expected five times at least.
    ///
    /// # Panics
    /// Too few are counted.
    #[must_use]
    pub fn excess(&self, models: &Models) -> Excess {
        let of = |counts: &[u64], logits: &[f32]| {
            let total: u64 = counts.iter().sum();
            let terms = counts.iter().zip(probabilities(logits)).map(|(&count, p)| {
                let expected = p * total as f64;
                assert!(expected >= 5.0, "{expected} of {total} are too few");
                (count as f64 - expected).powi(2) / expected
            });
            terms.sum::<f64>()
        };
        let freedom = VOCABULARY as f64 - 1.0;
        let first = of(&self.first, &models.target[VOCABULARY]);
        let behind =
            self.second.iter().zip(&models.target).filter(|(counts, _)| counts.iter().any(|&n| n > 0));
        let (mut second, mut all_freedom) = (0.0, 0.0);
        for (counts, logits) in behind {
            second += of(counts, logits);
            all_freedom += freedom;
        }
        Excess { first: first / critical(freedom), second: second / critical(all_freedom) }
    }
}

/// What chi-square with so many degrees of freedom exceeds with probability 10^-4, as Wilson and Hilferty approximate it.
fn critical(freedom: f64) -> f64 {
    let part = 2.0 / (9.0 * freedom);
    freedom * (1.0 - part + QUANTILE * part.sqrt()).powi(3)
}

/// What is wrong with a sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// What is drawn behind a rejection is drawn from all of the target's distribution.
    NoResidual,
    /// Drafts are accepted with probability p / (p + q).
    WrongRatio,
    /// Drafts are accepted with probability min(1, q / p).
    InvertedRatio,
}

/// What a plain sampler with a flaw emits for the chains of `input`, of which it looks at the first draft alone.
#[must_use]
pub fn flawed(models: &Models, input: &AcceptInput, flaw: Flaw, seed: u64) -> Vec<[i32; 2]> {
    let rng = &mut Pcg64Mcg::seed_from_u64(seed);
    let [p, q] = [&models.target, &models.draft].map(|model| probabilities(&model[VOCABULARY]));
    let rows = input.problem.rows as usize;
    input
        .tokens
        .chunks(rows)
        .map(|tokens| {
            let token = tokens[1] as usize;
            let accepted = match flaw {
                Flaw::WrongRatio => p[token] / (p[token] + q[token]),
                Flaw::InvertedRatio => q[token] / p[token],
                Flaw::None | Flaw::NoResidual => p[token] / q[token],
            };
            if rng.random::<f64>() < accepted {
                return [token as i32, draw(&probabilities(&models.target[token]), rng) as i32];
            }
            let residual: Vec<f64> = p.iter().zip(&q).map(|(p, q)| (p - q).max(0.0)).collect();
            let left = if flaw == Flaw::NoResidual { &p } else { &residual };
            [draw(left, rng) as i32, -1]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_critical_value_is_that_of_tables() {
        for (freedom, expected) in [(10.0, 35.56), (20.0, 52.39), (100.0, 161.3)] {
            let actual = critical(freedom);
            assert!((actual / expected - 1.0).abs() < 0.02, "{freedom}: {actual}");
        }
    }
}
