//! Maps against the f64 reference.

use std::num::NonZero;

use dustin::{
    Dtype,
    kv::KvLayout,
    score::{
        compare::recall,
        problem::Source,
        space::{Candidate, default_candidate},
        synthetic::{Contents, Logits, Recipe, ScoreInput, SequenceShape, Size},
    },
};
use dustin_kernels::registry::{FOLD, LOGITS};
use dustin_tests::{
    cuda_score::Prepared,
    gpu::{Gpu, text, trial},
    score::{columns_alone, for_each_seed, judge, judge_column, random_input, reference_of},
};
use libtest_mimic::Trial;

use super::{
    super::{problems, stream},
    KINDS, candidates, ragged, ragged_input,
};

/// Random problems, unless `DUSTIN_GPU_PROBLEMS` says otherwise: at least 1,000.
const PROBLEMS: NonZero<usize> = NonZero::new(1200).unwrap();

pub(super) fn trials() -> Vec<Trial> {
    let variants = candidates().enumerate().map(|(seed, candidate)| {
        trial(format!("{}_gives_the_reference", candidate.logits.id), move |gpu| {
            variant_gives_the_reference(gpu, candidate, seed as u64)
        })
    });
    let long = KINDS.into_iter().map(|(dtype, head_dim)| {
        let name = format!("scores_of_1k_to_131k_tokens_of_{dtype:?}_{head_dim}_give_the_reference");
        trial(name, move |gpu| long_sequences(gpu, dtype, head_dim))
    });
    let others = [
        trial("random_score_problems_over_all_variants_give_the_reference", random_problems),
        trial("the_probabilities_of_every_column_alone_sum_up_to_1", columns),
        trial("a_sequence_of_1048576_tokens_gives_the_reference", million),
        trial("the_best_512_of_32k_scores_are_those_of_f64", recall_of_the_best),
    ];
    variants.chain(long).chain(others).collect()
}

fn variant_gives_the_reference(gpu: &Gpu, candidate: Candidate, seed: u64) -> Result<(), String> {
    let stream = stream(gpu)?;
    let input = ragged_input(candidate, seed)?;
    let reference = reference_of(&input)?;
    for splits in [1, 2, 7, 256] {
        let candidate = Candidate { splits, ..candidate };
        let scored = Prepared::new(&gpu.modules, &stream, &input, candidate)?.score(&stream)?;
        judge(&input, &reference, &scored).map_err(|error| format!("{candidate}, seed {seed}: {error}"))?;
    }
    Ok(())
}

fn random_problems(gpu: &'static Gpu) -> Result<(), String> {
    let count = problems(PROBLEMS)?;
    let size = Size { batch: 6, kv_heads: 4, length: 2000, layers: 4, tokens: 4, heads: 16 };
    let candidates: Vec<Candidate> = candidates().collect();
    for_each_seed(count, |index, seed| {
        let fold = &FOLD[index / candidates.len() % FOLD.len()];
        let splits = [1, 2, 3, 8, 32][index % 5];
        let candidate = Candidate { fold, splits, ..candidates[index % candidates.len()] };
        let input = random_input(candidate.logits.dtype, candidate.logits.head_dim, size, seed)?;
        let stream = stream(gpu)?;
        let scored = Prepared::new(&gpu.modules, &stream, &input, candidate)?.score(&stream)?;
        judge(&input, &reference_of(&input)?, &scored)
            .map(drop)
            .map_err(|error| format!("{candidate}: {error}"))
    });
    println!("random problems compared with the reference: {count}");
    Ok(())
}

fn columns(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in candidates().enumerate() {
        for input in columns_alone(&ragged(candidate, seed as u64))? {
            let scored = Prepared::new(&gpu.modules, &stream, &input, candidate)?.score(&stream)?;
            judge_column(&input, &scored).map_err(|error| format!("{candidate}: {error}"))?;
        }
    }
    Ok(())
}

/// Four heads on two KV heads.
fn recipe(dtype: Dtype, head_dim: u32, lengths: &[u32], logits: Logits) -> Recipe {
    let shape = |&length: &u32| SequenceShape { length, room: 0, captured: true };
    Recipe {
        dtype,
        head_dim,
        kv_heads: 2,
        group: 4,
        page_size: 16,
        layout: KvLayout::Nhd,
        sequences: lengths.iter().map(shape).collect(),
        sources: Source::mean(&[&[0, 2, 3, 7]], 1),
        tokens: 1,
        accumulate: false,
        spare: 0,
        padding: 0,
        contents: Contents { logits, slots: false, seed: u64::from(head_dim) },
    }
}

/// Judges what each candidate gives for `input`.
fn judge_all(
    gpu: &Gpu,
    input: &ScoreInput,
    candidates: impl Iterator<Item = Candidate>,
) -> Result<(), String> {
    let stream = stream(gpu)?;
    let reference = reference_of(input)?;
    for candidate in candidates {
        let scored = Prepared::new(&gpu.modules, &stream, input, candidate)?.score(&stream)?;
        let figures = judge(input, &reference, &scored).map_err(|error| format!("{candidate}: {error}"))?;
        println!("{candidate}: {figures:?}");
    }
    Ok(())
}

fn long_sequences(gpu: &Gpu, dtype: Dtype, head_dim: u32) -> Result<(), String> {
    for logits in [Logits::Flat, Logits::Peaked] {
        let input = recipe(dtype, head_dim, &[1000, 4095, 32_768, 131_072], logits).input().map_err(text)?;
        let fits =
            |candidate: &Candidate| candidate.logits.dtype == dtype && candidate.logits.head_dim == head_dim;
        judge_all(gpu, &input, candidates().filter(fits))?;
    }
    Ok(())
}

fn million(gpu: &'static Gpu) -> Result<(), String> {
    let mut recipe = recipe(Dtype::Bf16, 128, &[1 << 20], Logits::Flat);
    (recipe.kv_heads, recipe.group) = (1, 8);
    let input = recipe.input().map_err(text)?;
    let of_kind = LOGITS.iter().filter(|v| v.dtype == Dtype::Bf16 && v.head_dim == 128);
    let default = default_candidate(&input.problem, &gpu.modules.device().limits()).map_err(text)?;
    judge_all(gpu, &input, of_kind.map(|logits| Candidate { logits, ..default }))
}

fn recall_of_the_best(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (dtype, head_dim) in KINDS {
        for logits in [Logits::Flat, Logits::Peaked] {
            let input = recipe(dtype, head_dim, &[32_768; 4], logits).input().map_err(text)?;
            let reference = reference_of(&input)?;
            let candidate =
                default_candidate(&input.problem, &gpu.modules.device().limits()).map_err(text)?;
            let scored = Prepared::new(&gpu.modules, &stream, &input, candidate)?.score(&stream)?;
            let parts = reference.parts.iter().cloned();
            let recalls = parts.map(|part| recall(&reference.map[part.clone()], &scored.map[part], 512));
            let least = recalls.fold(1.0, f64::min);
            println!("{candidate}, {logits:?}: recall {least}");
            if least < 0.999 {
                return Err(format!("{candidate}, {logits:?}: a recall of {least}"));
            }
        }
    }
    Ok(())
}
