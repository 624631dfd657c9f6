//! Attention inputs made up from a seed: for tests, benchmarks and tuning.
//!
//! Whatever must not be read is poison: NaN in pages, slots, query rows and padding that nothing uses, huge and
//! negative numbers in the unused entries of tables and sets.

mod fault;
mod recipe;
mod rotation;
mod sets;
mod trees;

pub use self::{
    fault::Plant,
    recipe::{Recipe, SequenceShape},
    rotation::{Rotation, disjoint_sets},
};
pub use crate::synthetic::{Logits, NAN};
use crate::{
    attention::{
        arrays::{AttentionArrays, AttentionStrides},
        problem::{AttentionProblem, Mask},
    },
    error::InvalidInput,
    synthetic::{FreePages, Items, Spread, nans},
};

const OPERATION: &str = "synthetic attention input";

/// What fills the arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// How unequal the probabilities are.
    pub logits: Logits,
    /// Whether sets ascend; else their order is random.
    pub sorted: bool,
    /// Whether cached tokens that are not in the set are NaN too.
    pub poison_unselected: bool,
    /// The same seed gives the same input.
    pub seed: u64,
}

/// A problem with everything that attention reads, in host memory.
#[derive(Clone, Debug)]
pub struct AttentionInput {
    /// The problem: capacities, geometry, layout and types.
    pub problem: AttentionProblem,
    /// Distances between rows.
    pub strides: AttentionStrides,
    /// The softmax scale, 1 / √head_dim.
    pub scale: f32,
    /// Queries, 16-bit items.
    pub query: Vec<u16>,
    /// Key cache, 16-bit items.
    pub key: Vec<u16>,
    /// Value cache, 16-bit items.
    pub value: Vec<u16>,
    /// Physical page numbers.
    pub block_table: Vec<i32>,
    /// Confirmed lengths.
    pub lengths: Vec<i32>,
    /// First query row of each sequence and, last, the number of rows.
    pub row_starts: Vec<i32>,
    /// Entries of the sets.
    pub set: Vec<i32>,
    /// Sizes of the sets.
    pub set_sizes: Vec<i32>,
    /// Rows that each row sees.
    pub masks: Vec<u64>,
}

impl AttentionInput {
    /// A benchmark's input: every sequence of `problem` has `length` confirmed tokens, all its rows and a full,
    /// ascending set (the whole sequence, where that is shorter).
    ///
    /// # Errors
    /// The problem is invalid, its pages, tables or rows do not hold the sequences, or the host's memory does not hold
    /// the arrays.
    pub fn uniform(problem: &AttentionProblem, length: u32, seed: u64) -> Result<Self, InvalidInput> {
        problem.validate()?;
        let set_size = problem.confirmed_capacity().min(length);
        let sequences = vec![SequenceShape { length, rows: problem.rows, set_size }; problem.batch as usize];
        let contents = Contents { logits: Logits::Flat, sorted: true, poison_unselected: false, seed };
        Self::new(problem, &AttentionStrides::dense(problem), &sequences, contents)
    }

    /// The input of `problem` whose sequences have the given shapes.
    ///
    /// # Errors
    /// The problem or the strides are invalid, the capacities do not hold the sequences, or the host's memory does not
    /// hold the arrays.
    pub fn new(
        problem: &AttentionProblem,
        strides: &AttentionStrides,
        sequences: &[SequenceShape],
        contents: Contents,
    ) -> Result<Self, InvalidInput> {
        problem.validate()?;
        strides.validate(problem)?;
        recipe::validate(problem, sequences)?;
        let mut random = Items::new(problem.dtype, contents.seed);
        let mut input = Self {
            problem: *problem,
            strides: *strides,
            scale: (f64::from(problem.kv.head_dim).sqrt().recip()) as f32,
            query: nans(strides.query_extent(problem))?,
            key: nans(problem.kv.extent())?,
            value: nans(problem.kv.extent())?,
            block_table: random.poison_indices(strides.table_extent(problem))?,
            lengths: sequences.iter().map(|s| s.length as i32).collect(),
            row_starts: vec![0],
            set: random.poison_indices(strides.set_extent(problem))?,
            set_sizes: Vec::new(),
            masks: Vec::new(),
        };

        let mut free = FreePages::new(&problem.kv, &mut random)?;
        let spread = contents.logits.query_spread();
        for (sequence, shape) in sequences.iter().enumerate() {
            input.fill_tables(sequence, shape, &mut free);
            let read = input.fill_sets(sequence, shape, contents.sorted, &mut random);
            if contents.poison_unselected {
                input.fill_tokens(sequence, read.into_iter(), &mut random);
            } else {
                input.fill_tokens(sequence, 0..shape.length, &mut random);
            }
            input.fill_tokens(sequence, shape.length..shape.length + shape.rows, &mut random);
            input.fill_queries(sequence, shape.rows, spread, &mut random);
        }
        if problem.mask == Mask::Tree {
            input.masks = trees::masks(problem.total_rows, &input.row_starts, &mut random.rng);
        }
        Ok(input)
    }

    /// The arrays, as the reference and the CPU backend read them.
    #[must_use]
    pub fn arrays(&self) -> AttentionArrays<'_> {
        AttentionArrays {
            query: &self.query,
            key: &self.key,
            value: &self.value,
            block_table: &self.block_table,
            lengths: &self.lengths,
            row_starts: &self.row_starts,
            set: &self.set,
            set_sizes: &self.set_sizes,
            masks: &self.masks,
            scale: self.scale,
            strides: self.strides,
        }
    }

    /// Items of the output array.
    #[must_use]
    pub fn output_items(&self) -> usize {
        self.strides.output_extent(&self.problem) as usize
    }

    /// Items of the log-sum-exp array, `[total_rows, query_heads]`.
    #[must_use]
    pub fn lse_items(&self) -> usize {
        self.problem.total_rows as usize * self.problem.query_heads as usize
    }

    fn fill_tables(&mut self, sequence: usize, shape: &SequenceShape, free: &mut FreePages) {
        let start = sequence * self.strides.table as usize;
        let count = shape.pages(self.problem.kv.page_size) as usize;
        free.fill(&mut self.block_table[start..start + count]);
        let rows = self.row_starts[sequence] + shape.rows as i32;
        self.row_starts.push(rows);
    }

    fn fill_tokens(&mut self, sequence: usize, positions: impl Iterator<Item = u32>, random: &mut Items) {
        let table = &self.block_table[sequence * self.strides.table as usize..];
        for position in positions {
            let caches = &mut [&mut self.key[..], &mut self.value[..]];
            random.fill_token(&self.problem.kv, table, position, caches);
        }
    }

    fn fill_queries(&mut self, sequence: usize, rows: u32, spread: Spread, random: &mut Items) {
        let first = self.row_starts[sequence] as usize;
        for row in first..first + rows as usize {
            for head in 0..self.problem.query_heads as usize {
                let start = row * self.strides.query_row as usize + head * self.strides.query_head as usize;
                random.fill(&mut self.query[start..start + self.problem.kv.head_dim as usize], spread);
            }
        }
    }
}

#[cfg(test)]
mod tests;
