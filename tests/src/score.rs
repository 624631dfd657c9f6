//! What the tests of score gathering share, whatever the back end: random problems, batches of the same sequences, and the
//! verdict on what a back end gave.

use dustin::{
    Dtype,
    score::{
        compare::{Figures, compare_map},
        reference::{self, Reference},
        synthetic::{Plant, Recipe, ScoreInput, Size},
    },
};
use dustin_kernels::fault::Fault;
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

/// A random input within `size`; in one of three a fault is planted.
///
/// # Errors
/// The recipe is of no valid problem.
pub fn random_input(dtype: Dtype, head_dim: u32, size: Size, seed: u64) -> Result<ScoreInput, String> {
    let recipe = Recipe::random(dtype, head_dim, size, seed);
    let mut input = recipe.input().map_err(|error| error.to_string())?;
    if seed.is_multiple_of(3) {
        let (plant, sequence) = (seed / 3 % Plant::ALL.len() as u64, seed % u64::from(input.problem.batch));
        // Not every sequence has what a fault needs: then there is none.
        input.plant(Plant::ALL[plant as usize], sequence as usize);
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
