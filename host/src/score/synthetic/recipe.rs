//! The shape of a ragged batch, and the problem whose capacities hold it.

use dustin_kernels::registry::Dtype;
use rand::{RngExt, SeedableRng, seq::index};
use rand_pcg::Pcg64Mcg;

use super::{Contents, Logits, OPERATION, ScoreInput};
use crate::{
    error::InvalidInput,
    kv::{KvLayout, PagedKv},
    score::{
        arrays::ScoreStrides,
        problem::{ScoreProblem, Source},
    },
    synthetic::padded_cache,
};

/// One sequence of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceShape {
    /// Confirmed length.
    pub length: u32,
    /// Positions of its part of the map behind those of its length.
    pub room: u32,
    /// Whether it has captured queries; without an array of slots every sequence has.
    pub captured: bool,
}

/// How large random recipes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The most sequences, at least 1.
    pub batch: u32,
    /// The most KV heads, at least 1.
    pub kv_heads: u32,
    /// The most confirmed tokens of a sequence.
    pub length: u32,
    /// The most layers, at least 1.
    pub layers: u32,
    /// The most captured tokens, at least 1.
    pub tokens: u32,
    /// The most captured heads of a layer, at least 1.
    pub heads: u32,
}

/// A ragged batch and what is gathered from it, from which the problem follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Element type.
    pub dtype: Dtype,
    /// Items in a head: 64 or 128.
    pub head_dim: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads that share one KV head: 1 to 16.
    pub group: u32,
    /// Tokens in a page: a power of two, 1 to 256.
    pub page_size: u32,
    /// The order of a page's items.
    pub layout: KvLayout,
    /// The batch.
    pub sequences: Vec<SequenceShape>,
    /// The layers.
    pub sources: Vec<Source>,
    /// Captured query tokens.
    pub tokens: u32,
    /// Whether the sources are added to what the map holds.
    pub accumulate: bool,
    /// How much each capacity exceeds what the batch needs: slots, map positions, table entries, pages.
    pub spare: u32,
    /// Gaps in every stride of queries and caches, in units of 8 items.
    pub padding: u32,
    /// What fills the arrays.
    pub contents: Contents,
}

impl Recipe {
    /// A random recipe within `size`: ragged lengths from 0, page sizes 1 to 256, groups 1 to 16, both layouts, any
    /// heads with weights of their own, of both signs and sometimes 0, or the mean, several layers and tokens, slots in any order or missing.
    #[must_use]
    pub fn random(dtype: Dtype, head_dim: u32, size: Size, seed: u64) -> Self {
        let mut random = Random(Pcg64Mcg::seed_from_u64(seed));
        let (kv_heads, group) = (random.from(1, size.kv_heads), random.from(1, 16));
        let batch = random.from(1, size.batch);
        let tokens = random.from(1, size.tokens);
        let layers: Vec<Vec<u32>> =
            (0..random.from(1, size.layers)).map(|_| random.heads(kv_heads * group, size.heads)).collect();
        let layers: Vec<&[u32]> = layers.iter().map(Vec::as_slice).collect();
        let mut sources = Source::mean(&layers, tokens);
        if random.one_in(2) {
            for captured in sources.iter_mut().flat_map(|source| &mut source.heads) {
                captured.weight = if random.one_in(8) { 0.0 } else { random.0.random_range(-1.0..=1.0) };
            }
        }
        Self {
            dtype,
            head_dim,
            kv_heads,
            group,
            page_size: 1 << random.from(0, 8),
            layout: if random.one_in(2) { KvLayout::Nhd } else { KvLayout::Hnd },
            sequences: (0..batch).map(|_| random.sequence(size.length)).collect(),
            sources,
            tokens,
            accumulate: random.one_in(4),
            spare: random.from(0, 3),
            padding: random.from(0, 2),
            contents: Contents {
                logits: if random.one_in(2) { Logits::Flat } else { Logits::Peaked },
                slots: !random.one_in(4),
                seed: random.0.random(),
            },
        }
    }

    /// The problem: the least capacities that hold the batch, plus what is to spare.
    #[must_use]
    pub fn problem(&self) -> ScoreProblem {
        let pages = self.sequences.iter().map(|shape| shape.length.div_ceil(self.page_size));
        let map: u32 = self.sequences.iter().map(|shape| shape.length + shape.room).sum();
        let batch = self.sequences.len() as u32;
        ScoreProblem {
            batch,
            map_capacity: (map + self.spare).max(1),
            tokens: self.tokens,
            slots: batch + self.spare,
            query_heads: self.kv_heads * self.group,
            kv: self.kv(pages.clone().sum::<u32>().max(1) + self.spare),
            table_width: pages.max().unwrap_or(0).max(1) + self.spare,
            dtype: self.dtype,
            sources: self.sources.clone(),
            accumulate: self.accumulate,
        }
    }

    /// The strides of the problem's arrays.
    #[must_use]
    pub fn strides(&self) -> ScoreStrides {
        let problem = self.problem();
        let gap = 8 * u64::from(self.padding);
        let heads = self.sources.iter().map(|source| source.heads.len() as u64).max().unwrap_or(0);
        let query_head = u64::from(self.head_dim) + gap;
        let query_token = heads * query_head + gap;
        ScoreStrides {
            query_head,
            query_token,
            query_slot: u64::from(self.tokens) * query_token + gap,
            table: u64::from(problem.table_width) + u64::from(self.padding),
        }
    }

    /// The input.
    ///
    /// # Errors
    /// The recipe is of no valid problem.
    pub fn input(&self) -> Result<ScoreInput, InvalidInput> {
        ScoreInput::new(&self.problem(), &self.strides(), &self.sequences, self.contents)
    }

    fn kv(&self, pages: u32) -> PagedKv {
        let dense = PagedKv::dense(self.layout, pages, self.page_size, self.kv_heads, self.head_dim);
        padded_cache(dense, self.layout, 8 * u64::from(self.padding))
    }
}

struct Random(Pcg64Mcg);

impl Random {
    /// A number from `least` to `most`, or `least` if that is more.
    fn from(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most.max(least))
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.from(1, count) == 1
    }

    fn heads(&mut self, query_heads: u32, most: u32) -> Vec<u32> {
        let count = self.from(1, most.min(query_heads)) as usize;
        let mut heads: Vec<u32> = index::sample(&mut self.0, query_heads as usize, count)
            .into_iter()
            .map(|head| head as u32)
            .collect();
        heads.sort_unstable();
        heads
    }

    fn sequence(&mut self, most: u32) -> SequenceShape {
        let length = match self.from(1, 8) {
            1 => 0,
            2 => 1,
            _ => self.from(0, most),
        };
        let room = if self.one_in(4) { self.from(0, 40) } else { 0 };
        SequenceShape { length, room, captured: !self.one_in(6) }
    }
}

/// Checks that the capacities of `problem` hold the sequences, and gives the first position of the first part of the map.
pub(super) fn validate(problem: &ScoreProblem, sequences: &[SequenceShape]) -> Result<u32, InvalidInput> {
    let at_most = |field, limit: u64, actual: u64| {
        if actual > limit {
            return Err(InvalidInput::new(OPERATION, field, format!("at most {limit}"), actual));
        }
        Ok(())
    };
    if sequences.len() != problem.batch as usize {
        return Err(InvalidInput::new(OPERATION, "sequences", problem.batch, sequences.len()));
    }
    let page_size = problem.kv.page_size;
    let capacity = u64::from(problem.table_width) * u64::from(page_size);
    let (mut map, mut pages, mut slots) = (0u64, 0u64, 0u64);
    for shape in sequences {
        at_most("length", capacity, shape.length.into())?;
        map += u64::from(shape.length) + u64::from(shape.room);
        pages += u64::from(shape.length.div_ceil(page_size));
        slots += u64::from(shape.captured);
    }
    at_most("map positions in all", problem.map_capacity.into(), map)?;
    at_most("pages in all", problem.kv.pages.into(), pages)?;
    at_most("sequences with queries", problem.slots.into(), slots)?;
    // It fits: the sum is at most the capacity.
    Ok(problem.map_capacity - map as u32)
}
