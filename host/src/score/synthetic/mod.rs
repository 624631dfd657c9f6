//! Scoring inputs made up from a seed: for tests, benchmarks and tuning.
//!
//! Whatever must not be read is poison: NaN in pages, slots and padding that nothing uses and in the map, huge and
//! negative numbers in the unused entries of tables.

mod fault;
mod recipe;
mod rotation;
mod share;

use rand::{RngExt, seq::SliceRandom};

pub use self::{
    fault::Plant,
    recipe::{Recipe, SequenceShape, Size},
    rotation::turns,
};
pub use crate::synthetic::{Logits, NAN};
use crate::{
    error::InvalidInput,
    score::{
        arrays::{ScoreArrays, ScoreStrides, SourceArrays, require_own_slots},
        problem::ScoreProblem,
    },
    synthetic::{FreePages, Items, nans, room},
};

const OPERATION: &str = "synthetic scoring input";

/// What fills the arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// How unequal the probabilities are.
    pub logits: Logits,
    /// Whether there is an array of slots, in random order; else every sequence has the slot of its own number.
    pub slots: bool,
    /// The same seed gives the same input.
    pub seed: u64,
}

/// What one source reads of its own.
#[derive(Clone, Debug)]
pub struct SourceInput {
    /// Captured queries, 16-bit items.
    pub query: Vec<u16>,
    /// Key cache, 16-bit items.
    pub key: Vec<u16>,
}

/// A problem with everything that scoring reads, in host memory.
#[derive(Clone, Debug)]
pub struct ScoreInput {
    /// The problem: capacities, geometry, layout, types and heads.
    pub problem: ScoreProblem,
    /// Distances between rows.
    pub strides: ScoreStrides,
    /// The softmax scale, 1 / √head_dim.
    pub scale: f32,
    /// The sources, in the problem's order.
    pub sources: Vec<SourceInput>,
    /// The slot of each sequence's queries, unless every one has its own.
    pub slots: Option<Vec<i32>>,
    /// Physical page numbers.
    pub block_table: Vec<i32>,
    /// Confirmed lengths.
    pub lengths: Vec<i32>,
    /// First position of each sequence's part of the map and, last, the end.
    pub map_starts: Vec<i32>,
    /// What the map holds before: NaN, but numbers in the sequences' parts if the problem accumulates.
    pub map: Vec<f32>,
}

impl ScoreInput {
    /// A benchmark's input: every sequence of `problem` has `length` confirmed tokens and captured queries in the slot of
    /// its own number.
    ///
    /// # Errors
    /// The problem is invalid, its pages, tables, slots or map do not hold the sequences, or the host's memory does not
    /// hold the arrays.
    pub fn uniform(problem: &ScoreProblem, length: u32, seed: u64) -> Result<Self, InvalidInput> {
        problem.validate()?;
        let sequences = vec![SequenceShape { length, room: 0, captured: true }; problem.batch as usize];
        let contents = Contents { logits: Logits::Flat, slots: false, seed };
        Self::new(problem, &ScoreStrides::dense(problem), &sequences, contents)
    }

    /// The input of `problem` whose sequences have the given shapes. Their parts of the map lie at its end.
    ///
    /// # Errors
    /// The problem or the strides are invalid, the capacities do not hold the sequences, or the host's memory does not
    /// hold the arrays.
    pub fn new(
        problem: &ScoreProblem,
        strides: &ScoreStrides,
        sequences: &[SequenceShape],
        contents: Contents,
    ) -> Result<Self, InvalidInput> {
        problem.validate()?;
        strides.validate(problem)?;
        let map_start = recipe::validate(problem, sequences)?;
        let mut items = Items::new(problem.dtype, contents.seed);
        let mut input = Self {
            problem: problem.clone(),
            strides: *strides,
            scale: (f64::from(problem.kv.head_dim).sqrt().recip()) as f32,
            sources: Vec::new(),
            slots: None,
            block_table: items.poison_indices(strides.table_extent(problem))?,
            lengths: sequences.iter().map(|sequence| sequence.length as i32).collect(),
            map_starts: vec![map_start as i32],
            map: room(problem.map_capacity.into())?,
        };
        input.map.resize(problem.map_capacity as usize, f32::NAN);
        for source in &problem.sources {
            let query = nans(strides.query_extent(problem, source))?;
            let key = nans(problem.kv.extent())?;
            input.sources.push(SourceInput { query, key });
        }
        let mut free = FreePages::new(&problem.kv, &mut items)?;
        for (sequence, shape) in sequences.iter().enumerate() {
            input.place(sequence, shape, &mut free, &mut items);
        }
        let slots = input.assign_slots(sequences, contents.slots, &mut items)?;
        for (sequence, (shape, slot)) in sequences.iter().zip(slots).enumerate() {
            input.fill_keys(sequence, shape.length, &mut items);
            if let Some(slot) = slot {
                input.fill_queries(slot, contents.logits, &mut items);
            }
        }
        Ok(input)
    }

    /// The arrays, as the reference and the CPU back end read them.
    #[must_use]
    pub fn arrays(&self) -> ScoreArrays<'_> {
        let sources = self.sources.iter();
        ScoreArrays {
            sources: sources.map(|own| SourceArrays { query: &own.query, key: &own.key }).collect(),
            slots: self.slots.as_deref(),
            block_table: &self.block_table,
            lengths: &self.lengths,
            map_starts: &self.map_starts,
            scale: self.scale,
            strides: self.strides,
        }
    }

    /// Gives a sequence its pages and its part of the map.
    fn place(&mut self, sequence: usize, shape: &SequenceShape, free: &mut FreePages, items: &mut Items) {
        let start = sequence * self.strides.table as usize;
        let pages = shape.length.div_ceil(self.problem.kv.page_size) as usize;
        free.fill(&mut self.block_table[start..start + pages]);
        let start = self.map_starts[sequence] as usize;
        if self.problem.accumulate {
            self.map[start..start + shape.length as usize].fill_with(|| items.rng.random::<f32>() * 1e-2);
        }
        self.map_starts.push((start + (shape.length + shape.room) as usize) as i32);
    }

    /// The slot of each sequence that has queries.
    fn assign_slots(
        &mut self,
        sequences: &[SequenceShape],
        permuted: bool,
        items: &mut Items,
    ) -> Result<Vec<Option<u32>>, InvalidInput> {
        if !permuted {
            require_own_slots(&self.problem)?;
            return Ok((0..self.problem.batch).map(Some).collect());
        }
        let mut free = room(self.problem.slots.into())?;
        free.extend(0..self.problem.slots);
        free.shuffle(&mut items.rng);
        // There are enough: the shapes were checked.
        let slots: Vec<Option<u32>> =
            sequences.iter().map(|shape| if shape.captured { free.pop() } else { None }).collect();
        let missing = [-1, i32::MIN];
        let bits =
            |slot: &Option<u32>| slot.map_or(missing[items.rng.random_range(0..2)], |slot| slot as i32);
        self.slots = Some(slots.iter().map(bits).collect());
        Ok(slots)
    }

    fn fill_keys(&mut self, sequence: usize, length: u32, items: &mut Items) {
        let table = &self.block_table[sequence * self.strides.table as usize..];
        for source in &mut self.sources {
            for position in 0..length {
                items.fill_token(&self.problem.kv, table, position, &mut [&mut source.key]);
            }
        }
    }

    fn fill_queries(&mut self, slot: u32, logits: Logits, items: &mut Items) {
        for (source, own) in self.problem.sources.iter().zip(&mut self.sources) {
            for token in 0..self.problem.tokens {
                for head in 0..source.heads.len() as u32 {
                    let start = self.strides.query(slot, token, head) as usize;
                    let query = &mut own.query[start..start + self.problem.kv.head_dim as usize];
                    items.fill(query, logits.query_spread());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
