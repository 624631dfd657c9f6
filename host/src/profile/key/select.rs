//! The key of selection.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{OPERATION, require_ends, words::MapsWord};
use crate::{
    InvalidInput,
    profile::bucket,
    select::problem::{MAX_BLOCK, MAX_BUDGET, Maps, SelectProblem, SlotTable},
};

/// Tokens in the pages of the problem that stands for a bucket with physical slots.
const PAGE_SIZE: u32 = 16;

/// Positions that the problem that stands for a bucket with pooling averages over.
const POOLING: u32 = 5;

/// What of a selection problem matters. The numbers of sinks, of recent positions and of the quota do not, nor the
/// threshold of EVERYTHING: they change how much of a set is chosen, not what is read to choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectKey {
    /// Sequences in the batch: a bucket's upper end ([`bucket::batch`]).
    pub batch: u32,
    /// Positions of each sequence when the maps are full and all are alike: a power of two.
    pub mean_length: u32,
    /// Positions of one set (the budget k): a bucket's upper end ([`bucket::set_capacity`]).
    pub budget: u32,
    /// The maps that are read.
    #[serde(with = "MapsWord")]
    pub maps: Maps,
    /// Whether a part of the budget comes from the draft's map first.
    pub quota: bool,
    /// Positions that are chosen together: a power of two.
    pub block: u32,
    /// Whether scores are averaged first.
    pub pooling: bool,
    /// Whether physical slots are asked for.
    pub physical: bool,
}

impl From<&SelectProblem> for SelectKey {
    fn from(problem: &SelectProblem) -> Self {
        Self {
            batch: problem.batch,
            mean_length: problem.map_capacity.div_ceil(problem.batch.max(1)),
            budget: problem.budget,
            maps: problem.maps,
            quota: problem.quota > 0,
            block: problem.block,
            pooling: problem.pooling > 1,
            physical: problem.table.is_some(),
        }
        .rounded_up()
    }
}

impl SelectKey {
    /// The largest problem of the bucket: a choice that serves it serves them all. The key must be valid.
    #[must_use]
    pub fn problem(&self) -> SelectProblem {
        // A budget is a multiple of 2ⁿ or of 3·2ⁿ: one of the two divides it.
        let block =
            if self.budget.is_multiple_of(self.block) { self.block } else { self.block / 4 * 3 }.max(1);
        let width = self.mean_length.div_ceil(PAGE_SIZE).max(1);
        let pages = self.batch.saturating_mul(width).min(i32::MAX as u32 / PAGE_SIZE);
        let table = SlotTable { pages, page_size: PAGE_SIZE, table_width: width.min(pages) };
        SelectProblem {
            quota: if self.quota { (self.budget / 4 / block * block).max(block) } else { 0 },
            block,
            pooling: if self.pooling { POOLING } else { 1 },
            maps: self.maps,
            table: self.physical.then_some(table),
            ..SelectProblem::plain(
                self.batch,
                bucket::map_capacity(self.batch, self.mean_length),
                self.budget,
            )
        }
    }

    /// The key with its capacities at the upper ends of their buckets.
    fn rounded_up(self) -> Self {
        let batch = bucket::batch(self.batch);
        Self {
            batch,
            mean_length: bucket::mean_length(batch, self.mean_length),
            budget: bucket::set_capacity(self.budget),
            block: bucket::length_class(self.block.into()),
            ..self
        }
    }

    /// Checks that a valid problem can have it.
    ///
    /// # Errors
    /// The first field that no valid problem has.
    pub(super) fn validate(&self) -> Result<(), InvalidInput> {
        let error =
            |field, required: String, actual: u32| Err(InvalidInput::new(OPERATION, field, required, actual));
        if self.budget > MAX_BUDGET {
            return error("key.budget", format!("at most {MAX_BUDGET}"), self.budget);
        }
        if self.block > MAX_BLOCK.min(self.budget.next_power_of_two()) {
            let most = MAX_BLOCK.min(self.budget.next_power_of_two());
            return error("key.block", format!("at most {most}"), self.block);
        }
        if self.quota && !self.maps.draft() {
            return Err(InvalidInput::new(OPERATION, "key.quota", "false without a draft map", true));
        }
        let end = self.rounded_up();
        require_ends([
            ("key.batch", self.batch, end.batch),
            ("key.mean_length", self.mean_length, end.mean_length),
            ("key.budget", self.budget, end.budget),
            ("key.block", self.block, end.block),
        ])
    }

    /// Refuses an invalid key. Valid ones are all supported.
    ///
    /// # Errors
    /// The first field at fault.
    pub(in crate::profile) fn require_supported(&self) -> Result<(), InvalidInput> {
        self.validate()
    }
}

impl fmt::Display for SelectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, mean_length, budget, maps, block, .. } = self;
        write!(f, "batch {batch} x {mean_length}, k {budget}, {maps:?} maps, blocks of {block}")?;
        for (asked, word) in
            [(self.quota, "quota"), (self.pooling, "pooling"), (self.physical, "physical slots")]
        {
            if asked {
                write!(f, ", {word}")?;
            }
        }
        Ok(())
    }
}
