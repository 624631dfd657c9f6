//! Against the f64 reference with the same random numbers: the same rows and tokens, but where a decision is within rounding.

use std::num::NonZero;

use dustin::accept::{
    problem::{ScoreKind, ScoreType, Scores},
    synthetic::{AcceptInput, Contents, DraftShape, Recipe, SequenceShape},
};
use dustin_kernels::registry::{ACCEPT_ROWS, ACCEPT_WALK, AcceptWalkVariant};
use dustin_tests::{
    cuda_accept::judge,
    gpu::{Gpu, text, trial},
    score::for_each_seed,
};
use libtest_mimic::Trial;

use super::super::{problems, stream};

/// Random steps, unless `DUSTIN_GPU_PROBLEMS` says otherwise.
const PROBLEMS: NonZero<usize> = NonZero::new(2000).unwrap();

pub(super) fn trials() -> Vec<Trial> {
    let small = |walk: &'static AcceptWalkVariant| {
        trial(format!("sanitize_{}", walk.id), move |gpu| sanitize(gpu, walk))
    };
    [
        trial("random_steps_are_accepted_as_the_reference_does", random_steps),
        trial("the_vocabulary_of_a_model_is_accepted_as_the_reference_does", whole_vocabulary),
        trial("trees_of_64_rows_are_accepted_as_the_reference_does", large_trees),
    ]
    .into_iter()
    .chain(ACCEPT_WALK.iter().map(small))
    .collect()
}

fn judge_one(gpu: &Gpu, input: &AcceptInput, walk: &'static AcceptWalkVariant) -> Result<(), String> {
    judge(gpu, &stream(gpu)?, input, &ACCEPT_ROWS[0], walk).map(|_| ())
}

/// Now and then of a large vocabulary and large trees.
fn random_steps(gpu: &'static Gpu) -> Result<(), String> {
    for_each_seed(problems(PROBLEMS)?, |index, seed| {
        let [vocabulary, rows] = if index % 16 == 0 { [40_000, 64] } else { [500, 12] };
        let input = AcceptInput::random(seed, vocabulary, rows).map_err(text)?;
        judge_one(gpu, &input, &ACCEPT_WALK[index % ACCEPT_WALK.len()])
    });
    Ok(())
}

/// γ 4 at the size of Qwen2.5's vocabulary, in every item type.
fn whole_vocabulary(gpu: &'static Gpu) -> Result<(), String> {
    for (seed, dtype) in ScoreType::ALL.into_iter().enumerate() {
        for kind in [ScoreKind::Logits, ScoreKind::Probabilities] {
            let scores = Scores { dtype, kind };
            let draft = Some(DraftShape { scores, without_replacement: false });
            let recipe = Recipe { target: scores, draft, ..Recipe::uniform(4, 5, 152_064, seed as u64) };
            let input = AcceptInput::new(&recipe).map_err(text)?;
            ACCEPT_WALK.iter().try_for_each(|walk| judge_one(gpu, &input, walk))?;
        }
    }
    Ok(())
}

fn large_trees(gpu: &'static Gpu) -> Result<(), String> {
    let scores = Scores { dtype: ScoreType::Bf16, kind: ScoreKind::Logits };
    for (seed, without_replacement) in [(1, false), (2, true), (3, true)] {
        let recipe = Recipe {
            vocabulary: 32_003,
            target: scores,
            draft: Some(DraftShape { scores, without_replacement }),
            tree: true,
            sequences: [1.0, 0.0, 0.6].map(|temperature| SequenceShape { rows: 64, temperature }).to_vec(),
            new_lengths: true,
            spare: 1,
            padding: 1,
            contents: Contents { spread: 4.0, agreement: 0.7, coarse: false, infinities: false, seed },
        };
        let input = AcceptInput::new(&recipe).map_err(text)?;
        ACCEPT_WALK.iter().try_for_each(|walk| judge_one(gpu, &input, walk))?;
    }
    Ok(())
}

/// Random steps: cheap enough for compute-sanitizer. Filter by the name `sanitize`.
fn sanitize(gpu: &Gpu, walk: &'static AcceptWalkVariant) -> Result<(), String> {
    (0..12).try_for_each(|seed| judge_one(gpu, &AcceptInput::random(seed, 9000, 12).map_err(text)?, walk))
}
