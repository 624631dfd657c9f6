//! The shape of a ragged batch, and the problem whose capacities hold it.

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Contents, OPERATION, Scores, SelectInput};
use crate::{
    error::InvalidInput,
    select::{
        arrays::SelectStrides,
        problem::{Fallback, MAX_BUDGET, Maps, SelectProblem, SlotTable},
    },
};

/// One sequence of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceShape {
    /// Confirmed length.
    pub length: u32,
    /// Whether it has a target map; read only where there are slots.
    pub has_target: bool,
}

/// A ragged batch, from which the problem follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Quotas and rules; its capacities (batch, maps, slots, table) are not read.
    pub rules: SelectProblem,
    /// The batch.
    pub sequences: Vec<SequenceShape>,
    /// Tokens in a page, if physical slots are asked for.
    pub page_size: Option<u32>,
    /// Whether the tables hold but half of the longest sequence.
    pub narrow_table: bool,
    /// Whether an array of slots says which sequences have a target map, if there is one; else all have one.
    pub target_slots: bool,
    /// How much each capacity and stride exceeds what the batch needs.
    pub spare: u32,
    /// What fills the arrays.
    pub contents: Contents,
}

impl Recipe {
    /// A random one, with sequences of up to `max_length` tokens.
    #[must_use]
    pub fn random(seed: u64, max_length: u32) -> Self {
        let rng = &mut Pcg64Mcg::seed_from_u64(seed);
        let rules = random_rules(rng, max_length);
        let sequences = (0..rng.random_range(1..=4)).map(|_| {
            let budget = rules.budget;
            let special = [
                0,
                1,
                budget - 1,
                budget,
                budget + 1,
                max_length,
                max_length.saturating_sub(1) | 1,
                budget * 2 - 1,
            ];
            let length = match rng.random_range(0..16) {
                draw @ 0..8 => special[draw],
                _ => rng.random_range(budget.min(max_length)..=max_length),
            };
            SequenceShape { length: length.min(max_length), has_target: rng.random_range(0..4) > 0 }
        });
        let sequences = sequences.collect();
        Self {
            rules,
            sequences,
            page_size: (rng.random_range(0..3) == 0).then(|| 1 << rng.random_range(0..=8)),
            narrow_table: rng.random_range(0..8) == 0,
            target_slots: rng.random(),
            spare: rng.random_range(0..=5),
            contents: Contents {
                draft: random_scores(rng),
                target: random_scores(rng),
                gap: rng.random_range(0..=9),
                seed: rng.random(),
            },
        }
    }

    /// The problem: the least capacities that hold the batch, plus what is to spare.
    #[must_use]
    pub fn problem(&self) -> SelectProblem {
        let pages = |page_size: u32| self.sequences.iter().map(move |s| s.length.div_ceil(page_size).max(1));
        let table = self.page_size.map(|page_size| {
            let longest = pages(page_size).max().unwrap_or(1);
            let width = if self.narrow_table { longest.div_ceil(2) } else { longest + self.spare };
            let pages = pages(page_size).sum::<u32>().max(1) + self.spare;
            SlotTable { pages, page_size, table_width: width }
        });
        let positions = positions(&self.sequences, self.contents.gap) + u64::from(self.spare);
        SelectProblem {
            batch: self.sequences.len() as u32,
            // What cannot be counted is no valid capacity.
            map_capacity: u32::try_from(positions.max(1)).unwrap_or(u32::MAX),
            slots: (self.target_slots && self.rules.maps.target())
                .then_some(self.sequences.len() as u32 + self.spare),
            table,
            ..self.rules
        }
    }

    /// The strides of the problem's arrays.
    #[must_use]
    pub fn strides(&self) -> SelectStrides {
        let dense = SelectStrides::dense(&self.problem());
        let spare = u64::from(self.spare);
        SelectStrides { table: dense.table + spare, set: dense.set + spare }
    }

    /// The input.
    ///
    /// # Errors
    /// The recipe is of no valid problem.
    pub fn input(&self) -> Result<SelectInput, InvalidInput> {
        SelectInput::new(&self.problem(), &self.strides(), &self.sequences, self.contents)
    }
}

/// Positions of maps that hold the sequences, with the gaps before and behind them.
fn positions(sequences: &[SequenceShape], gap: u32) -> u64 {
    let gap = u64::from(gap);
    gap + sequences.iter().map(|shape| u64::from(shape.length) + gap).sum::<u64>()
}

fn random_scores(rng: &mut impl Rng) -> Scores {
    Scores::ALL[rng.random_range(0..Scores::ALL.len())]
}

fn random_rules(rng: &mut impl Rng, max_length: u32) -> SelectProblem {
    let block = match rng.random_range(0..8) {
        draw @ 4..8 => [2, 5, 16, rng.random_range(2..=256)][draw - 4],
        _ => 1,
    };
    // Small budgets as often as large ones.
    let most = (max_length.min(MAX_BUDGET) / block).max(1) >> rng.random_range(0..8);
    let blocks = rng.random_range(1..=most.max(1));
    let budget = blocks * block;
    let maps = match rng.random_range(0..16) {
        0 => Maps::Neither,
        1..4 => Maps::Target,
        4..8 => Maps::Draft,
        _ => Maps::Both,
    };
    let quota = match rng.random_range(0..4) {
        _ if !maps.draft() => 0,
        0 => 0,
        1 => budget,
        _ => rng.random_range(0..=blocks) * block,
    };
    let mut rules = SelectProblem {
        quota,
        block,
        pooling: [1, 1, 3, 5, 2 * rng.random_range(0..32) + 1][rng.random_range(0..5)],
        everything: if rng.random_range(0..4) == 0 { rng.random_range(0..=max_length) } else { 0 },
        maps,
        without_target: if rng.random() { Fallback::Draft } else { Fallback::Everything },
        ..SelectProblem::plain(1, 1, budget)
    };
    if rng.random_range(0..3) > 0 {
        rules.sinks = rng.random_range(0..=budget);
        // As much as fits, or less.
        rules.recent = (blocks - rules.sinks.div_ceil(block)) * block;
        rules.recent -= if rng.random() { 0 } else { rng.random_range(0..=rules.recent) };
        while rules.forced_blocks() > blocks.into() {
            rules.recent -= 1;
        }
    }
    rules
}

/// Checks that the capacities of `problem` hold the sequences.
pub(super) fn validate(
    problem: &SelectProblem,
    sequences: &[SequenceShape],
    gap: u32,
) -> Result<(), InvalidInput> {
    if sequences.len() != problem.batch as usize {
        return Err(InvalidInput::new(OPERATION, "sequences", problem.batch, sequences.len()));
    }
    let at_most = |field, limit: u64, actual: u64| {
        if actual > limit {
            return Err(InvalidInput::new(OPERATION, field, format!("at most {limit}"), actual));
        }
        Ok(())
    };
    at_most("lengths and gaps in all", problem.map_capacity.into(), positions(sequences, gap))?;
    if let Some(slots) = problem.slots {
        at_most("sequences", slots.into(), problem.batch.into())?;
    }
    if let Some(table) = problem.table {
        let pages = |s: &SequenceShape| s.length.div_ceil(table.page_size).min(table.table_width);
        let pages = sequences.iter().map(|shape| u64::from(pages(shape))).sum();
        at_most("pages in all", table.pages.into(), pages)?;
    }
    Ok(())
}
