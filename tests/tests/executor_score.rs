//! The kernels of score gathering on the SIMT executor, against the f64 reference.

use dustin::score::{
    space::Candidate,
    synthetic::{Plant, Recipe, ScoreInput, Size},
};
use dustin_kernels::{
    executor::Options,
    registry::{Dtype, FOLD, LOGITS},
};
use dustin_tests::{
    executor_score::Prepared,
    score::{
        Scored, batch_of, columns_alone, for_each_seed, judge, judge_column, random_input, reference_of,
    },
};

/// Two chunks of tokens, and a part of a third.
const SIZE: Size = Size { batch: 3, kv_heads: 3, length: 600, layers: 3, tokens: 3, heads: 8 };

/// Variants and splits in turn.
fn candidate(index: usize) -> Candidate {
    let fold = &FOLD[index / LOGITS.len() % FOLD.len()];
    Candidate { logits: &LOGITS[index % LOGITS.len()], fold, splits: [1, 2, 5][index % 7 % 3] }
}

/// A random input for the candidate's element type and head size.
fn input(candidate: Candidate, seed: u64) -> Result<ScoreInput, String> {
    random_input(candidate.logits.dtype, candidate.logits.head_dim, SIZE, seed)
}

/// One job over `input`.
fn score(input: &ScoreInput, candidate: Candidate) -> Result<Scored, String> {
    let mut prepared = Prepared::new(input, candidate)?;
    prepared.launch(&Options::default())?;
    Ok(prepared.scored())
}

fn named<T>(candidate: Candidate, verdict: Result<T, String>) -> Result<T, String> {
    verdict.map_err(|error| format!("{candidate}: {error}"))
}

#[test]
fn every_variant_gives_the_reference_on_random_problems() {
    let count = 6 * LOGITS.len() * FOLD.len();
    assert!(count >= 300);
    for_each_seed(count, |index, seed| {
        let candidate = candidate(index);
        let input = input(candidate, seed)?;
        named(candidate, judge(&input, &reference_of(&input)?, &score(&input, candidate)?)).map(drop)
    });
}

#[test]
fn every_chunk_of_a_long_sequence_counts() {
    // As many chunks as some lanes of a normaliser's sum have several of, and chunks of twice the tokens.
    let lengths = [20_100, 65_800];
    for_each_seed(lengths.len(), |index, seed| {
        let candidate = candidate(index + 5);
        let (dtype, head_dim) = (candidate.logits.dtype, candidate.logits.head_dim);
        let mut recipe = Recipe::random(dtype, head_dim, Size { heads: 2, layers: 2, ..SIZE }, seed);
        recipe.sequences.truncate(1);
        recipe.sequences[0].length = lengths[index];
        recipe.sequences[0].captured = true;
        let input = recipe.input().map_err(|error| error.to_string())?;
        named(candidate, judge(&input, &reference_of(&input)?, &score(&input, candidate)?)).map(drop)
    });
}

/// Logits that climb by 60 (in units of log2) from the first position to the last: every few tiles exceed the base.
fn climbing(candidate: Candidate, seed: u64) -> Result<ScoreInput, String> {
    let mut input = input(candidate, seed)?;
    let (kv, dtype) = (input.problem.kv, candidate.logits.dtype);
    let bits = |x: f32| match dtype {
        Dtype::Bf16 => half::bf16::from_f32(x).to_bits(),
        Dtype::F16 => half::f16::from_f32(x).to_bits(),
    };
    for source in &mut input.sources {
        let query = source.query.chunks_mut(kv.head_dim as usize);
        query.for_each(|row| {
            row.iter_mut().enumerate().for_each(|(i, x)| *x = bits(if i == 3 { 4.0 } else { 0.0 }))
        });
        for (sequence, &length) in input.lengths.iter().enumerate() {
            for position in 0..length.max(0) as u32 {
                let entry = sequence as u64 * input.strides.table + u64::from(position / kv.page_size);
                // A sequence without queries may have no pages.
                let Ok(page) = u64::try_from(input.block_table[entry as usize]) else { continue };
                let token = page * kv.page_stride + u64::from(position % kv.page_size) * kv.token_stride;
                let logit = 60.0 * f64::from(position) / f64::from(length) * std::f64::consts::LN_2;
                for kv_head in 0..u64::from(kv.kv_heads) {
                    let item = token + kv_head * kv.kv_head_stride + 3;
                    source.key[item as usize] = bits((logit / f64::from(4.0 * input.scale)) as f32);
                }
            }
        }
    }
    Ok(input)
}

#[test]
fn exponentials_that_are_stored_follow_a_base_that_is_replaced() {
    for_each_seed(LOGITS.len(), |index, seed| {
        let candidate = candidate(index);
        let input = climbing(candidate, seed)?;
        named(candidate, judge(&input, &reference_of(&input)?, &score(&input, candidate)?)).map(drop)
    });
}

#[test]
fn the_probabilities_of_every_column_alone_sum_up_to_1() {
    for_each_seed(LOGITS.len(), |index, seed| {
        let candidate = candidate(index + index / 2 * LOGITS.len());
        let (dtype, head_dim) = (candidate.logits.dtype, candidate.logits.head_dim);
        let size = Size { layers: 2, heads: 4, ..SIZE };
        columns_alone(&Recipe::random(dtype, head_dim, size, seed))?
            .iter()
            .try_for_each(|input| named(candidate, judge_column(input, &score(input, candidate)?)))
    });
}

#[test]
fn every_planted_fault_is_masked_and_reported() {
    for_each_seed(2 * Plant::ALL.len(), |index, seed| {
        let candidate = candidate(index);
        let plant = Plant::ALL[index / 2];
        let (dtype, head_dim) = (candidate.logits.dtype, candidate.logits.head_dim);
        let mut recipe = Recipe::random(dtype, head_dim, SIZE, seed);
        recipe.sequences[0].length = 300;
        recipe.sequences[0].captured = true;
        recipe.contents.slots = true;
        let mut input = recipe.input().map_err(|error| error.to_string())?;
        if !input.plant(plant, 0) {
            return Err(format!("{plant:?} cannot be planted"));
        }
        let reference = reference_of(&input)?;
        if reference.status == 0 {
            return Err(format!("the reference does not see {plant:?}"));
        }
        named(candidate, judge(&input, &reference, &score(&input, candidate)?))
            .map(drop)
            .map_err(|error| format!("{plant:?}: {error}"))
    });
}

#[test]
fn a_second_job_over_the_same_workspace_gives_the_same_bits() {
    for_each_seed(LOGITS.len(), |index, seed| {
        let candidate = candidate(index);
        let input = input(candidate, seed)?;
        let mut prepared = Prepared::new(&input, candidate)?;
        prepared.launch(&Options::default())?;
        let first = prepared.scored();
        prepared.renew_map();
        prepared.launch(&Options::default())?;
        let second = prepared.scored();
        let same = first.bits() == second.bits() && first.status == second.status;
        if same { Ok(()) } else { Err(format!("{candidate}: the second job differs")) }
    });
}

#[test]
fn a_sequence_has_the_same_bits_alone_and_in_any_batch_whatever_the_splits_and_the_fold() {
    for_each_seed(LOGITS.len(), |index, seed| {
        let whole_candidate = candidate(index);
        let recipe =
            Recipe::random(whole_candidate.logits.dtype, whole_candidate.logits.head_dim, SIZE, seed);
        let input = recipe.input().map_err(|error| error.to_string())?;
        let whole = score(&input, whole_candidate)?;
        let count = input.problem.batch as usize;
        let alone = (0..count).map(|sequence| vec![sequence]);
        for (number, order) in alone.chain([(0..count).rev().collect()]).enumerate() {
            let batch = batch_of(&input, &order);
            let fold = &FOLD[(index + number) % FOLD.len()];
            let other = Candidate { fold, splits: 1 + number as u32 * 3, ..whole_candidate };
            let scored = score(&batch, other)?;
            for (place, &sequence) in order.iter().enumerate() {
                if scored.bits_of(&batch, place) != whole.bits_of(&input, sequence) {
                    return Err(format!(
                        "{whole_candidate}: sequence {sequence} differs in {order:?}, {other}"
                    ));
                }
            }
        }
        Ok(())
    });
}
