//! Selection inputs made up from a seed: for tests, benchmarks and tuning.
//!
//! Whatever must not be read is poison: NaN and infinities in the maps before, between and behind the sequences' parts and
//! behind their lengths, huge and negative numbers in the unused entries of tables.

mod fault;
mod recipe;
mod scores;

use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

pub use self::{
    fault::Plant,
    recipe::{Recipe, SequenceShape},
    scores::Scores,
};
use crate::{
    error::InvalidInput,
    select::{
        arrays::{SelectArrays, SelectStrides},
        problem::SelectProblem,
    },
    synthetic::{POISON_INDICES, room},
};

const OPERATION: &str = "synthetic selection input";

/// What stands in maps where no sequence has a score.
const POISON_SCORES: [f32; 4] = [f32::NAN, f32::INFINITY, f32::MAX, -f32::NAN];

/// What fills the arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The kind of the draft's map.
    pub draft: Scores,
    /// The kind of the target's map.
    pub target: Scores,
    /// Positions of poison before the first sequence's part of the maps, and at each part's end.
    pub gap: u32,
    /// The same seed gives the same input.
    pub seed: u64,
}

/// A problem with everything that selection reads, in host memory.
#[derive(Clone, Debug)]
pub struct SelectInput {
    /// The problem: capacities, quotas and rules.
    pub problem: SelectProblem,
    /// Distances between rows.
    pub strides: SelectStrides,
    /// The draft's importance map, if the problem has one.
    pub draft: Option<Vec<f32>>,
    /// The target's importance map, if the problem has one.
    pub target: Option<Vec<f32>>,
    /// First position of each sequence's part of the maps and, last, the end.
    pub map_starts: Vec<i32>,
    /// Confirmed lengths.
    pub lengths: Vec<i32>,
    /// The slot that each sequence's target map was scored from, negative where it has none, if the problem counts slots.
    pub target_slots: Option<Vec<i32>>,
    /// Physical page numbers, if the problem asks for slots.
    pub block_table: Option<Vec<i32>>,
}

impl SelectInput {
    /// A benchmark's input: every sequence of `problem` has `length` confirmed tokens, and all its maps.
    ///
    /// # Errors
    /// The problem is invalid, its maps or pages do not hold the sequences, or the host's memory does not hold
    /// the arrays.
    pub fn uniform(problem: &SelectProblem, length: u32, seed: u64) -> Result<Self, InvalidInput> {
        problem.validate()?;
        let sequences = vec![SequenceShape { length, has_target: true }; problem.batch as usize];
        let scores = Scores::Softmax;
        let contents = Contents { draft: scores, target: scores, gap: 0, seed };
        Self::new(problem, &SelectStrides::dense(problem), &sequences, contents)
    }

    /// A random input of small capacities, in which sequences have up to `max_length` tokens: every rule is drawn, and in
    /// one of four inputs a fault is planted.
    ///
    /// # Errors
    /// Maps of such sequences are no valid problem's.
    pub fn random(seed: u64, max_length: u32) -> Result<Self, InvalidInput> {
        let mut input = Recipe::random(seed, max_length).input()?;
        let mut rng = Pcg64Mcg::seed_from_u64(!seed);
        if rng.random_range(0..4) == 0 {
            let sequence = rng.random_range(0..input.problem.batch as usize);
            // Without a table there are no pages to fault: then there is no fault.
            input.plant(Plant::ALL[rng.random_range(0..Plant::ALL.len())], sequence);
        }
        Ok(input)
    }

    /// The input of `problem` whose sequences have the given shapes.
    ///
    /// # Errors
    /// The problem or the strides are invalid, the capacities do not hold the sequences, or the host's memory does not hold
    /// the arrays.
    pub fn new(
        problem: &SelectProblem,
        strides: &SelectStrides,
        sequences: &[SequenceShape],
        contents: Contents,
    ) -> Result<Self, InvalidInput> {
        problem.validate()?;
        strides.validate(problem)?;
        recipe::validate(problem, sequences, contents.gap)?;
        let mut rng = Pcg64Mcg::seed_from_u64(contents.seed);
        let mut map_starts = vec![contents.gap as i32];
        let mut end = contents.gap;
        for shape in sequences {
            // At most the maps' capacity, which is an i32.
            end += shape.length + contents.gap;
            map_starts.push(end as i32);
        }
        let mut map = |scores: Scores| {
            let mut map = room(problem.map_capacity.into())?;
            let poison = |_| POISON_SCORES[rng.random_range(0..POISON_SCORES.len())];
            map.extend((0..problem.map_capacity).map(poison));
            for (&start, shape) in map_starts.iter().zip(sequences) {
                scores.fill(&mut map[start as usize..][..shape.length as usize], &mut rng);
            }
            Ok(map)
        };
        let draft = problem.maps.draft().then(|| map(contents.draft)).transpose()?;
        let target = problem.maps.target().then(|| map(contents.target)).transpose()?;
        let slot = |(index, shape): (usize, &SequenceShape)| {
            if shape.has_target { index as i32 } else { [-1, i32::MIN][index % 2] }
        };
        Ok(Self {
            problem: *problem,
            strides: *strides,
            draft,
            target,
            map_starts,
            lengths: sequences.iter().map(|shape| shape.length as i32).collect(),
            target_slots: problem.slots.map(|_| sequences.iter().enumerate().map(slot).collect()),
            block_table: block_table(problem, strides, sequences, &mut rng)?,
        })
    }

    /// The arrays, as the reference and the CPU back end read them.
    #[must_use]
    pub fn arrays(&self) -> SelectArrays<'_> {
        SelectArrays {
            draft: self.draft.as_deref(),
            target: self.target.as_deref(),
            map_starts: &self.map_starts,
            lengths: &self.lengths,
            target_slots: self.target_slots.as_deref(),
            block_table: self.block_table.as_deref(),
            strides: self.strides,
        }
    }
}

/// Tables that share out the cache's pages in random order, as far as they reach.
fn block_table(
    problem: &SelectProblem,
    strides: &SelectStrides,
    sequences: &[SequenceShape],
    rng: &mut impl Rng,
) -> Result<Option<Vec<i32>>, InvalidInput> {
    let Some(table) = problem.table else { return Ok(None) };
    let mut entries = room(strides.table_extent(problem))?;
    let poison = |_| POISON_INDICES[rng.random_range(0..POISON_INDICES.len())];
    entries.extend((0..strides.table_extent(problem)).map(poison));
    let mut pages = room(table.pages.into())?;
    pages.extend(0..table.pages.cast_signed());
    pages.shuffle(rng);
    let mut free = pages.into_iter();
    for (sequence, shape) in sequences.iter().enumerate() {
        let row = &mut entries[sequence * strides.table as usize..];
        let pages = shape.length.div_ceil(table.page_size).min(table.table_width) as usize;
        for (entry, page) in row[..pages].iter_mut().zip(&mut free) {
            *entry = page;
        }
    }
    Ok(Some(entries))
}

#[cfg(test)]
mod tests;
