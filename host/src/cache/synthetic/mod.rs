//! Steps made up from a seed, with what appending and compacting read and write: for tests and benchmarks.
//!
//! Caches and rows are random bits, NaN included, so that whatever is moved wrongly, or written where nothing should be,
//! shows. Tables name the pages of the step's own rows alone: every other entry is poison.

mod append;
mod capture;
mod compact;
mod fault;
mod recipe;
mod rows;

use rand::{Rng, RngExt};

pub use self::{
    append::AppendInput,
    capture::{CaptureInput, CapturePlant},
    compact::{Acceptance, CompactInput, ListPlant},
    fault::Plant,
    recipe::{Recipe, SequenceShape},
    rows::OwnRows,
};
use super::{
    layer::Layer,
    step::{Step, StepArrays},
};
use crate::{
    error::InvalidInput,
    synthetic::{POISON_INDICES, room},
};

/// A step with what its arrays say, in host memory.
#[derive(Clone, Debug)]
pub struct StepInput {
    /// The step.
    pub step: Step,
    /// Items from one sequence's block table to the next.
    pub table_stride: u64,
    /// Physical page numbers.
    pub block_table: Vec<i32>,
    /// Confirmed lengths.
    pub lengths: Vec<i32>,
    /// First rows.
    pub row_starts: Vec<i32>,
}

impl StepInput {
    /// The arrays, as the reference and the CPU back end read them.
    #[must_use]
    pub fn arrays(&self) -> StepArrays<'_> {
        StepArrays {
            block_table: &self.block_table,
            table_stride: self.table_stride,
            lengths: &self.lengths,
            row_starts: &self.row_starts,
        }
    }
}

/// `count` items of any bits.
fn bits(rng: &mut impl Rng, count: u64) -> Result<Vec<u16>, InvalidInput> {
    let mut items = room(count)?;
    items.extend((0..count).map(|_| rng.random::<u16>()));
    Ok(items)
}

/// An index that lies outside of everything.
fn poison_index(rng: &mut impl Rng) -> i32 {
    POISON_INDICES[rng.random_range(0..POISON_INDICES.len())]
}

/// Caches of any bits for one layer of `step`, values `value` items behind keys.
fn layer(rng: &mut impl Rng, step: &Step, value: u64) -> Result<Layer, InvalidInput> {
    let extent = step.kv.extent();
    Ok(Layer { items: bits(rng, extent.saturating_add(value))?, value, separate: value >= extent })
}

#[cfg(test)]
mod tests;
