//! What the tests of score gathering share, whatever the back end: random problems, batches of the same sequences, and the
//! verdict on what a back end gave.

use dustin::{
    Dtype,
    score::{
        compare::{Figures, compare_map},
        reference::{self, Position, Reference},
        synthetic::{Plant, Recipe, ScoreInput, Size},
    },
};
use dustin_kernels::fault::Fault;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

/// What a back end gave.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The map, which held the input's before.
    pub map: Vec<f32>,
    /// The status word.
    pub status: u64,
}

impl Scored {
    /// The bits of the map.
    #[must_use]
    pub fn bits(&self) -> Vec<u32> {
        self.map.iter().map(|x| x.to_bits()).collect()
    }

    /// The bits of the part of the map that `sequence` of `input` has.
    #[must_use]
    pub fn bits_of(&self, input: &ScoreInput, sequence: usize) -> Vec<u32> {
        let start = input.map_starts[sequence] as usize;
        let part = start..start + input.lengths[sequence] as usize;
        self.map[part].iter().map(|x| x.to_bits()).collect()
    }
}

/// Judges the status word and the map, in which nothing else may have been written.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn judge(input: &ScoreInput, reference: &Reference, scored: &Scored) -> Result<Figures, String> {
    if scored.status != reference.status {
        let name = |word| match Fault::parse(word) {
            Some((fault, sequence)) => format!("{fault:?} of sequence {sequence}"),
            None => format!("{word:#x}"),
        };
        return Err(format!("status: {} instead of {}", name(scored.status), name(reference.status)));
    }
    compare_map(&input.problem, reference, &input.map, &scored.map).map_err(|mismatch| mismatch.to_string())
}

/// What `input` must give.
///
/// # Errors
/// The input is not valid.
pub fn reference_of(input: &ScoreInput) -> Result<Reference, String> {
    reference::score(&input.problem, &input.arrays(), &input.map).map_err(|error| error.to_string())
}

/// Inputs of `recipe` with one captured token, one for each column: that column alone has a weight, which is 1, and nothing
/// is added to what the map holds.
///
/// # Errors
/// The recipe is of no valid problem.
pub fn columns_alone(recipe: &Recipe) -> Result<Vec<ScoreInput>, String> {
    let whole = Recipe { tokens: 1, accumulate: false, ..recipe.clone() };
    let whole = whole.input().map_err(|error| error.to_string())?;
    let columns = whole.problem.sources.iter().enumerate();
    let columns = columns.flat_map(|(source, own)| (0..own.heads.len()).map(move |head| (source, head)));
    let alone = |(source, head): (usize, usize)| {
        let mut input = whole.clone();
        let heads = input.problem.sources.iter_mut().flat_map(|source| &mut source.heads);
        heads.for_each(|captured| captured.weight = 0.0);
        input.problem.sources[source].heads[head].weight = 1.0;
        input
    };
    Ok(columns.map(alone).collect())
}

/// Judges a column of [`columns_alone`]: the map and, by themselves, its sums.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn judge_column(input: &ScoreInput, scored: &Scored) -> Result<(), String> {
    let reference = reference_of(input)?;
    judge(input, &reference, scored)?;
    for (sequence, part) in reference.parts.iter().enumerate() {
        let expected = if reference.positions[part.clone()].contains(&Position::Scored) { 1.0 } else { 0.0 };
        let sum: f64 = scored.map[part.clone()].iter().map(|&score| f64::from(score)).sum();
        if (sum - expected).abs() > 1e-4 {
            return Err(format!("the probabilities of sequence {sequence} sum up to {sum}, not {expected}"));
        }
    }
    Ok(())
}

/// A random input within `size`; in one of three a fault is planted.
///
/// # Errors
/// The recipe is of no valid problem.
pub fn random_input(dtype: Dtype, head_dim: u32, size: Size, seed: u64) -> Result<ScoreInput, String> {
    let recipe = Recipe::random(dtype, head_dim, size, seed);
    let mut input = recipe.input().map_err(|error| error.to_string())?;
    let mut rng = Pcg64Mcg::seed_from_u64(!seed);
    if rng.random_range(0..3) == 0 {
        let plant = Plant::ALL[rng.random_range(0..Plant::ALL.len())];
        let sequence = rng.random_range(0..input.problem.batch as usize);
        // Not every sequence has what a fault needs: then there is none.
        input.plant(plant, sequence);
    }
    Ok(input)
}

/// Runs `test(index, seed)` for `count` indices on all cores. Seeds are the same in every run; `DUSTIN_TEST_SEED` (a number)
/// gives others.
///
/// # Panics
/// A test fails.
pub fn for_each_seed(count: usize, test: impl Fn(usize, u64) -> Result<(), String> + Sync) {
    let base: u64 = std::env::var("DUSTIN_TEST_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    (0..count).into_par_iter().for_each(|index| {
        let seed = base.wrapping_mul(1 << 32).wrapping_add(index as u64);
        if let Err(error) = test(index, seed) {
            panic!("seed {seed}: {error}");
        }
    });
}

/// The sequences of `input` in `order`, whose parts of the map begin elsewhere.
#[must_use]
pub fn batch_of(input: &ScoreInput, order: &[usize]) -> ScoreInput {
    const START: usize = 37;
    let mut batch = ScoreInput {
        slots: Some(Vec::new()),
        block_table: Vec::new(),
        lengths: Vec::new(),
        map_starts: vec![START as i32],
        map: vec![f32::NAN; START],
        ..input.clone()
    };
    let table = input.strides.table as usize;
    let mut tables = input.block_table.clone();
    tables.resize(input.problem.batch as usize * table, -1);
    for &sequence in order {
        let slot = input.slots.as_ref().map_or(sequence as i32, |slots| slots[sequence]);
        batch.slots.get_or_insert_default().push(slot);
        batch.block_table.extend(&tables[sequence * table..][..table]);
        batch.lengths.push(input.lengths[sequence]);
        let part = input.map_starts[sequence] as usize..input.map_starts[sequence + 1] as usize;
        batch.map.extend(&input.map[part]);
        batch.map_starts.push(batch.map.len() as i32);
    }
    batch.problem.batch = order.len() as u32;
    batch.problem.map_capacity = batch.map.len() as u32;
    batch
}
