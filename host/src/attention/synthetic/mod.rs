//! Attention inputs made up from a seed: for tests, benchmarks and tuning.
//!
//! Whatever must not be read is poison: NaN in pages, slots, query rows and padding that nothing uses, huge and
//! negative numbers in the unused entries of tables and sets.

mod fault;
mod recipe;
mod rotation;

use dustin_kernels::registry::Dtype;
use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom, seq::index};
use rand_pcg::Pcg64Mcg;

pub use self::{
    fault::Plant,
    recipe::{Recipe, SequenceShape},
    rotation::{Rotation, disjoint_sets},
};
use crate::{
    attention::{
        arrays::{AttentionArrays, AttentionStrides},
        problem::AttentionProblem,
    },
    element::encode,
    error::InvalidInput,
};

const OPERATION: &str = "synthetic attention input";

/// The bits of a NaN, in both element types.
pub const NAN: u16 = 0x7fff;

/// What stands in entries of tables and sets that must not be used.
const POISON_INDICES: [i32; 4] = [i32::MAX, i32::MIN, -1, 1 << 30];

/// How unequal the probabilities are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// Logits of standard deviation 1: every token counts.
    Flat,
    /// Logits of standard deviation 8: few tokens count.
    Peaked,
}

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
    /// Positions of the sets.
    pub set: Vec<i32>,
    /// Sizes of the sets.
    pub set_sizes: Vec<i32>,
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
        let set_size = problem.set_capacity.min(length);
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
        let mut random = Source::new(problem.dtype, contents.seed);
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
            set_sizes: sequences.iter().map(|s| s.set_size as i32).collect(),
        };

        let mut pages = room(problem.kv.pages.into())?;
        pages.extend(0..problem.kv.pages);
        pages.shuffle(&mut random.rng);
        let mut free = pages.into_iter();
        let spread = match contents.logits {
            Logits::Flat => Spread::One,
            Logits::Peaked => Spread::Eight,
        };
        for (sequence, shape) in sequences.iter().enumerate() {
            input.fill_tables(sequence, shape, &mut free);
            let positions = input.fill_set(sequence, shape, contents.sorted, &mut random);
            if contents.poison_unselected {
                input.fill_tokens(sequence, positions.iter().copied(), &mut random);
            } else {
                input.fill_tokens(sequence, 0..shape.length, &mut random);
            }
            input.fill_tokens(sequence, shape.length..shape.length + shape.rows, &mut random);
            input.fill_queries(sequence, shape.rows, spread, &mut random);
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

    fn fill_tables(&mut self, sequence: usize, shape: &SequenceShape, free: &mut impl Iterator<Item = u32>) {
        let start = sequence * self.strides.table as usize;
        let count = shape.pages(self.problem.kv.page_size) as usize;
        for (entry, page) in self.block_table[start..start + count].iter_mut().zip(free) {
            *entry = page as i32;
        }
        let rows = self.row_starts[sequence] + shape.rows as i32;
        self.row_starts.push(rows);
    }

    fn fill_set(
        &mut self,
        sequence: usize,
        shape: &SequenceShape,
        sorted: bool,
        random: &mut Source,
    ) -> Vec<u32> {
        let sample = index::sample(&mut random.rng, shape.length as usize, shape.set_size as usize);
        let mut positions: Vec<u32> = sample.into_iter().map(|position| position as u32).collect();
        if sorted {
            positions.sort_unstable();
        }
        let start = sequence * self.strides.set as usize;
        for (entry, &position) in self.set[start..].iter_mut().zip(&positions) {
            *entry = position as i32;
        }
        positions
    }

    fn fill_tokens(&mut self, sequence: usize, positions: impl Iterator<Item = u32>, random: &mut Source) {
        let kv = self.problem.kv;
        let table = &self.block_table[sequence * self.strides.table as usize..];
        for position in positions {
            let page = table[(position / kv.page_size) as usize] as u32;
            for head in 0..kv.kv_heads {
                let start = kv.offset(page, position % kv.page_size, head) as usize;
                let items = start..start + kv.head_dim as usize;
                random.fill(&mut self.key[items.clone()], Spread::One);
                random.fill(&mut self.value[items], Spread::One);
            }
        }
    }

    fn fill_queries(&mut self, sequence: usize, rows: u32, spread: Spread, random: &mut Source) {
        let first = self.row_starts[sequence] as usize;
        for row in first..first + rows as usize {
            for head in 0..self.problem.query_heads as usize {
                let start = row * self.strides.query_row as usize + head * self.strides.query_head as usize;
                random.fill(&mut self.query[start..start + self.problem.kv.head_dim as usize], spread);
            }
        }
    }
}

/// The standard deviation of 16-bit items.
#[derive(Clone, Copy)]
enum Spread {
    One,
    Eight,
}

/// Normally distributed 16-bit items, drawn from a table: caches have up to a thousand million of them.
struct Source {
    rng: Pcg64Mcg,
    one: Vec<u16>,
    eight: Vec<u16>,
}

impl Source {
    /// 12 bits choose an item.
    const ITEMS: usize = 1 << 12;

    fn new(dtype: Dtype, seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let normals: Vec<f32> = (0..Self::ITEMS)
            .map(|_| {
                // The method of Box and Muller; 1 - x lies in (0, 1].
                let (radius, angle): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
                (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
            })
            .collect();
        let table = |factor: f32| normals.iter().map(|x| encode(dtype, factor * x)).collect();
        Self { one: table(1.0), eight: table(8.0), rng }
    }

    fn fill(&mut self, items: &mut [u16], spread: Spread) {
        let table = match spread {
            Spread::One => &self.one,
            Spread::Eight => &self.eight,
        };
        for chunk in items.chunks_mut(5) {
            let mut bits = self.rng.next_u64();
            for item in chunk {
                *item = table[bits as usize % Self::ITEMS];
                bits >>= 12;
            }
        }
    }

    fn poison_indices(&mut self, count: u64) -> Result<Vec<i32>, InvalidInput> {
        let mut items = room(count)?;
        items.extend((0..count).map(|_| POISON_INDICES[self.rng.random_range(0..POISON_INDICES.len())]));
        Ok(items)
    }
}

/// An empty array with room for `count` items.
fn room<T>(count: u64) -> Result<Vec<T>, InvalidInput> {
    let mut items = Vec::new();
    match usize::try_from(count).map(|count| items.try_reserve_exact(count)) {
        Ok(Ok(())) => Ok(items),
        _ => {
            let bytes = u128::from(count) * size_of::<T>() as u128;
            Err(InvalidInput::new(
                OPERATION,
                "memory",
                "enough for every array",
                format!("too little for {bytes} bytes"),
            ))
        }
    }
}

fn nans(count: u64) -> Result<Vec<u16>, InvalidInput> {
    let mut items = room(count)?;
    // There is room for them, so that the count is one of memory's.
    items.resize(count as usize, NAN);
    Ok(items)
}

#[cfg(test)]
mod tests;
