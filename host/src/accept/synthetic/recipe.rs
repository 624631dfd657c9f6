//! The shape of a ragged step of drafts, and its contents.

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::accept::problem::{ScoreKind, ScoreType, Scores};

/// One sequence of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SequenceShape {
    /// Rows.
    pub rows: u32,
    /// Temperature; 0: greedy.
    pub temperature: f32,
}

/// How a draft's scores are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftShape {
    /// The scores.
    pub scores: Scores,
    /// Whether drafts are drawn without replacement.
    pub without_replacement: bool,
}

/// What the scores are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contents {
    /// The standard deviation of the target's logits.
    pub spread: f32,
    /// How much of the target's logits the draft's are, from 0 to 1.
    pub agreement: f32,
    /// Whether logits are multiples of a half, so that many are equal.
    pub coarse: bool,
    /// Whether some logits are infinite.
    pub infinities: bool,
    /// The same seed gives the same input.
    pub seed: u64,
}

/// A ragged step, from which its capacities follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Tokens.
    pub vocabulary: u32,
    /// The target's scores.
    pub target: Scores,
    /// The draft's. Nothing: every draft counts as certain.
    pub draft: Option<DraftShape>,
    /// Whether rows are of trees; else of chains.
    pub tree: bool,
    /// The batch.
    pub sequences: Vec<SequenceShape>,
    /// Whether new lengths are written.
    pub new_lengths: bool,
    /// How much each capacity exceeds what the batch needs.
    pub spare: u32,
    /// The gap that every stride leaves, in items.
    pub padding: u32,
    /// What the scores are like.
    pub contents: Contents,
}

impl Recipe {
    /// A benchmark's: `batch` sampled sequences of chains of `rows - 1` drafts, by logits of f32.
    #[must_use]
    pub fn uniform(batch: u32, rows: u32, vocabulary: u32, seed: u64) -> Self {
        let scores = Scores { dtype: ScoreType::F32, kind: ScoreKind::Logits };
        Self {
            vocabulary,
            target: scores,
            draft: Some(DraftShape { scores, without_replacement: false }),
            tree: false,
            sequences: vec![SequenceShape { rows, temperature: 1.0 }; batch as usize],
            new_lengths: true,
            spare: 0,
            padding: 0,
            contents: Contents { spread: 3.0, agreement: 0.9, coarse: false, infinities: false, seed },
        }
    }

    /// A random one, of up to `max_vocabulary` tokens and of sequences of up to `max_rows` rows.
    #[must_use]
    pub fn random(seed: u64, max_vocabulary: u32, max_rows: u32) -> Self {
        let rng = &mut Pcg64Mcg::seed_from_u64(seed);
        let sequences = (0..rng.random_range(1..=5)).map(|_| SequenceShape {
            rows: match rng.random_range(0..6) {
                0 => 0,
                1 => 1,
                2 => max_rows,
                _ => rng.random_range(1..=max_rows),
            },
            temperature: match rng.random_range(0..12) {
                0..4 => 0.0,
                4 => f32::INFINITY,
                5 => 1e-40,
                _ => [0.3, 0.7, 1.0, 2.0][rng.random_range(0..4)],
            },
        });
        let sequences = sequences.collect();
        let contents = Contents {
            spread: [0.3, 1.0, 4.0, 10.0][rng.random_range(0..4)],
            agreement: [0.0, 0.5, 0.9, 1.0][rng.random_range(0..4)],
            coarse: rng.random_range(0..3) == 0,
            infinities: rng.random_range(0..4) == 0,
            seed: rng.random(),
        };
        let draft = DraftShape { scores: scores(rng), without_replacement: rng.random() };
        Self {
            vocabulary: match rng.random_range(0..6) {
                0 => rng.random_range(1..=8.min(max_vocabulary)),
                _ => rng.random_range(1..=max_vocabulary),
            },
            target: scores(rng),
            draft: (rng.random_range(0..4) > 0).then_some(draft),
            tree: rng.random(),
            sequences,
            new_lengths: rng.random(),
            spare: rng.random_range(0..=2),
            padding: rng.random_range(0..=5),
            contents,
        }
    }
}

fn scores(rng: &mut impl Rng) -> Scores {
    let dtype = ScoreType::ALL[rng.random_range(0..3)];
    let kind = if rng.random_range(0..3) > 0 { ScoreKind::Logits } else { ScoreKind::Probabilities };
    Scores { dtype, kind }
}
