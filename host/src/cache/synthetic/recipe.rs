//! The shape of a ragged step, and the capacities that hold it.

use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

use super::{StepInput, poison_index};
use crate::{
    cache::step::Step,
    error::InvalidInput,
    kv::{KvLayout, PagedKv},
    synthetic::{padded_cache, room},
};

/// One sequence of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceShape {
    /// Confirmed length.
    pub length: u32,
    /// Rows.
    pub rows: u32,
}

/// A ragged step, from which its capacities follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads that share one KV head, whose queries are appended, too; 0: none are.
    pub group: u32,
    /// Items in a head.
    pub head_dim: u32,
    /// Tokens in a page.
    pub page_size: u32,
    /// The order of a page's items.
    pub layout: KvLayout,
    /// Whether a page of values follows each page of keys; else they are two arrays.
    pub interleaved: bool,
    /// Whether the step's rows lie heads outside.
    pub head_major: bool,
    /// Whether tables lack the last page of the longest sequence, if it is not their first.
    pub narrow_table: bool,
    /// The batch.
    pub sequences: Vec<SequenceShape>,
    /// How much each capacity exceeds what the batch needs.
    pub spare: u32,
    /// The gap that every stride leaves, in words of 8 items.
    pub padding: u32,
    /// The same seed gives the same input.
    pub seed: u64,
}

impl Recipe {
    /// A benchmark's: `batch` sequences of the same shape, in dense NHD caches of two arrays, without queries.
    #[must_use]
    pub fn uniform(batch: u32, shape: SequenceShape, kv_heads: u32, head_dim: u32, seed: u64) -> Self {
        Self {
            kv_heads,
            group: 0,
            head_dim,
            page_size: 16,
            layout: KvLayout::Nhd,
            interleaved: false,
            head_major: false,
            narrow_table: false,
            sequences: vec![shape; batch as usize],
            spare: 0,
            padding: 0,
            seed,
        }
    }

    /// A random one, of sequences of up to `max_length` confirmed tokens and `max_rows` rows.
    #[must_use]
    pub fn random(seed: u64, max_length: u32, max_rows: u32) -> Self {
        let rng = &mut Pcg64Mcg::seed_from_u64(seed);
        let page_size = 1 << rng.random_range(0..=8);
        let sequences = (0..rng.random_range(1..=5)).map(|_| {
            let length = match rng.random_range(0..8) {
                0 => 0,
                1 => page_size - 1,
                2 => page_size,
                _ => rng.random_range(0..=max_length),
            };
            let rows = match rng.random_range(0..6) {
                0 => 0,
                1 => 1,
                2 => max_rows,
                _ => rng.random_range(0..=max_rows),
            };
            SequenceShape { length, rows }
        });
        let sequences = sequences.collect();
        Self {
            kv_heads: rng.random_range(1..=5),
            group: [0, 1, 3, 5, 16][rng.random_range(0..5)],
            head_dim: if rng.random() { 64 } else { 128 },
            page_size,
            layout: if rng.random() { KvLayout::Nhd } else { KvLayout::Hnd },
            interleaved: rng.random(),
            head_major: rng.random(),
            narrow_table: rng.random_range(0..8) == 0,
            sequences,
            spare: rng.random_range(0..=3),
            padding: rng.random_range(0..=2),
            seed: rng.random(),
        }
    }

    /// Items of every gap.
    pub(super) fn gap(&self) -> u64 {
        8 * u64::from(self.padding)
    }

    /// The step: the least capacities that hold the batch, plus what is to spare.
    #[must_use]
    pub fn step(&self) -> Step {
        let shapes = || self.sequences.iter();
        let rows: u32 = shapes().map(|shape| shape.rows).sum();
        let most = shapes().map(|shape| shape.rows).max().unwrap_or(0);
        let capacity = (most + self.spare).clamp(1, 64);
        let pages = shapes().map(|shape| self.pages(shape).len() as u32).sum::<u32>();
        let dense = PagedKv::dense(
            self.layout,
            (pages + self.spare).max(1),
            self.page_size,
            self.kv_heads,
            self.head_dim,
        );
        let mut kv = padded_cache(dense, self.layout, self.gap());
        if self.interleaved {
            kv.page_stride *= 2;
        }
        let batch = self.sequences.len() as u32;
        let longest = shapes().map(|shape| self.pages(shape).end as u32).max().unwrap_or(0);
        let table_width = if self.narrow_table { longest.saturating_sub(1) } else { longest + self.spare };
        Step {
            batch,
            rows: capacity,
            total_rows: (rows + self.spare).clamp(1, batch.max(1) * capacity),
            kv,
            table_width: table_width.max(1),
        }
    }

    /// Items from a key to its value.
    pub(super) fn value(&self, step: &Step) -> u64 {
        if self.interleaved { step.kv.page_stride / 2 } else { step.kv.extent() }
    }

    /// The entries of its table that a sequence's own rows need.
    fn pages(&self, shape: &SequenceShape) -> std::ops::Range<usize> {
        let first = shape.length / self.page_size;
        let end = if shape.rows == 0 { first } else { (shape.length + shape.rows - 1) / self.page_size + 1 };
        first as usize..end as usize
    }

    /// The step's arrays, whose sequences share out the caches' pages in random order.
    pub(super) fn step_input(&self, rng: &mut impl Rng) -> Result<StepInput, InvalidInput> {
        let step = self.step();
        step.validate("synthetic step")?;
        let table_stride = u64::from(step.table_width + self.spare);
        let mut block_table = room(step.table_extent(table_stride))?;
        block_table.extend((0..step.table_extent(table_stride)).map(|_| poison_index(rng)));
        let mut pages: Vec<i32> = (0..step.kv.pages.cast_signed()).collect();
        pages.shuffle(rng);
        let mut free = pages.into_iter();
        let mut row_starts = vec![0];
        let mut end = 0;
        for (sequence, shape) in self.sequences.iter().enumerate() {
            let table = &mut block_table[sequence * table_stride as usize..][..step.table_width as usize];
            let pages = self.pages(shape);
            for (entry, page) in table.iter_mut().take(pages.end).skip(pages.start).zip(&mut free) {
                *entry = page;
            }
            end += shape.rows;
            row_starts.push(end.cast_signed());
        }
        let lengths = self.sequences.iter().map(|shape| shape.length.cast_signed()).collect();
        Ok(StepInput { step, table_stride, block_table, lengths, row_starts })
    }
}
