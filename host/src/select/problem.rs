//! What a caller asks of selection, in what the host knows: capacities, quotas and rules.
//!
//! Lengths, maps and tables live on the device. Tuning keys are made of these problems alone.

use crate::error::InvalidInput;

const OPERATION: &str = "selection";

/// The most positions that one set may have.
pub const MAX_BUDGET: u32 = 4096;

/// The most positions that are chosen together.
pub const MAX_BLOCK: u32 = 256;

/// The most positions that a score is averaged over.
pub const MAX_POOLING: u32 = 63;

/// The importance maps that a selection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Maps {
    /// The target's alone.
    Target,
    /// The draft's alone: everything that is not forced comes from it, whatever the quota.
    Draft,
    /// The draft's for the quota, and for sequences without a target map if the [`Fallback`] says so; the target's for
    /// the rest.
    Both,
    /// None: sets are the sinks and the recent positions alone.
    Neither,
}

impl Maps {
    /// Whether there is a target map.
    #[must_use]
    pub const fn target(self) -> bool {
        matches!(self, Self::Target | Self::Both)
    }

    /// Whether there is a draft map.
    #[must_use]
    pub const fn draft(self) -> bool {
        matches!(self, Self::Draft | Self::Both)
    }
}

/// What a sequence gets whose slot says that it has no target map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fallback {
    /// Its sinks, its recent positions, and the rest from the draft's map; without one, the sinks and recent positions
    /// alone.
    Draft,
    /// The flag EVERYTHING, under the condition that [`SelectProblem::everything`] names.
    Everything,
}

/// The caches and tables that positions are looked up in, where physical slots are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotTable {
    /// Pages in the cache.
    pub pages: u32,
    /// Tokens in a page: a power of two, 1 to 256.
    pub page_size: u32,
    /// Pages in one sequence's block table.
    pub table_width: u32,
}

/// The selection of a batch's verification sets.
///
/// Positions are chosen by blocks of [`block`](Self::block). The blocks that hold one of the first `sinks` or of the last
/// `recent` positions are *forced*: they are taken whole. Then come the best blocks of the draft's map, as many as the quota
/// says and the forced ones leave room for; then the best of the target's. A sequence of at most `budget` positions is
/// taken whole.
///
/// Scores are compared within one map: +inf ranks above all numbers, ties go to the lower position, and NaN is taken only
/// when that map has nothing else left. So a quota is filled from the draft's map even with NaN, before the target's is
/// looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SelectProblem {
    /// Sequences in the batch, 1 to 65,535.
    pub batch: u32,
    /// Positions of the maps, for all sequences: at least 1, below 2^31. Without maps, those that sequences may have together.
    pub map_capacity: u32,
    /// The most positions of one set (k): 1 to [`MAX_BUDGET`], a multiple of `block`.
    pub budget: u32,
    /// How many of them come from the draft's map first (m): at most `budget`, a multiple of `block`, 0 without a draft's
    /// map.
    pub quota: u32,
    /// First positions that are always taken.
    pub sinks: u32,
    /// Last positions that are always taken.
    pub recent: u32,
    /// Positions that are chosen together, by the sum of their scores: 1 to [`MAX_BLOCK`].
    pub block: u32,
    /// Positions that a score is averaged over first: odd, 1 to [`MAX_POOLING`]; 1 for none.
    pub pooling: u32,
    /// Sequences of at most so many positions get the flag EVERYTHING in place of a set; 0 for none.
    ///
    /// Attention reads all confirmed tokens of such a sequence.
    pub everything: u32,
    /// The maps that are read.
    pub maps: Maps,
    /// Slots of captured queries that there are, if an array says which one each sequence's target map was scored from: 1 to
    /// 2^31 - 1. A slot that is negative or beyond them says that the sequence has no target map. Without it every sequence
    /// has one.
    pub slots: Option<u32>,
    /// What a sequence without a target map gets.
    pub without_target: Fallback,
    /// Where positions are looked up, if physical slots are asked for.
    pub table: Option<SlotTable>,
}

impl SelectProblem {
    /// The plain Top-K: the `budget` best positions of one map, the target's.
    #[must_use]
    pub const fn plain(batch: u32, map_capacity: u32, budget: u32) -> Self {
        Self {
            batch,
            map_capacity,
            budget,
            quota: 0,
            sinks: 0,
            recent: 0,
            block: 1,
            pooling: 1,
            everything: 0,
            maps: Maps::Target,
            slots: None,
            without_target: Fallback::Draft,
            table: None,
        }
    }

    /// The set of a draft model's cache of sinks and a window (MagicDec's policy): the first `sinks` and the last `recent`
    /// confirmed positions of each sequence, of which it may have `max_length`; all of a sequence that has no more. No map is
    /// read: the parts that a launch is told of only bound lengths, and [equal ones](Self::equal_parts) serve.
    #[must_use]
    pub const fn sinks_and_window(batch: u32, max_length: u32, sinks: u32, recent: u32) -> Self {
        Self {
            sinks,
            recent,
            maps: Maps::Neither,
            ..Self::plain(batch, batch.saturating_mul(max_length), sinks.saturating_add(recent))
        }
    }

    /// First positions of parts of the maps that are equal for all sequences and, last, the end: `[batch + 1]`. For a valid
    /// problem.
    #[must_use]
    pub fn equal_parts(&self) -> Vec<i32> {
        let part = self.map_capacity / self.batch.max(1);
        (0..=self.batch).map(|sequence| sequence.wrapping_mul(part).cast_signed()).collect()
    }

    /// The most blocks that sinks and recent positions may force: the last `recent` positions may touch one block more
    /// than they fill. 0 if blocks have no positions.
    #[must_use]
    pub fn forced_blocks(&self) -> u64 {
        if self.block == 0 {
            return 0;
        }
        let (block, recent) = (u64::from(self.block), u64::from(self.recent));
        let touched = if recent == 0 { 0 } else { (recent + block - 1).div_ceil(block) };
        u64::from(self.sinks).div_ceil(block) + touched
    }

    /// Bytes that the operation must move at the least when the maps are full and every set is: the maps that are read,
    /// and the sets, in positions and, if asked for, in slots.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let draft = self.maps.draft() && (self.quota > 0 || !self.maps.target());
        let maps = u64::from(self.maps.target()) + u64::from(draft);
        let outputs = 1 + u64::from(self.table.is_some());
        let sets = u64::from(self.batch) * u64::from(self.budget) * outputs;
        4 * (maps * u64::from(self.map_capacity) + sets)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is not as documented, or sinks and recent positions that exceed the budget.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        let error =
            |field, required: String, actual: u32| Err(InvalidInput::new(OPERATION, field, required, actual));
        let within = |field, most: u32, actual: u32| match actual {
            0 => error(field, format!("from 1 to {most}"), actual),
            _ if actual > most => error(field, format!("from 1 to {most}"), actual),
            _ => Ok(()),
        };
        within("batch", 65_535, self.batch)?;
        within("map_capacity", i32::MAX as u32, self.map_capacity)?;
        within("block", MAX_BLOCK, self.block)?;
        within("budget", MAX_BUDGET, self.budget)?;
        within("pooling", MAX_POOLING, self.pooling)?;
        if self.pooling.is_multiple_of(2) {
            return error("pooling", "odd".into(), self.pooling);
        }
        if self.quota > self.budget {
            return error("quota", format!("at most the budget, {}", self.budget), self.quota);
        }
        if self.quota > 0 && !self.maps.draft() {
            return error("quota", "0, as there is no draft map".into(), self.quota);
        }
        if let Some(slots) = self.slots {
            within("slots", i32::MAX as u32, slots)?;
            if !self.maps.target() {
                return error("slots", "none, as there is no target map".into(), slots);
            }
        }
        for (field, count) in [("budget", self.budget), ("quota", self.quota)] {
            if !count.is_multiple_of(self.block) {
                return error(field, format!("a multiple of the block, {}", self.block), count);
            }
        }
        let (forced, room) = (self.forced_blocks(), self.budget / self.block);
        if forced > room.into() {
            let required = match self.block {
                1 => format!("at most the budget, {}", self.budget),
                block => format!("within {room} blocks of {block}, the budget"),
            };
            let positions = format!("{} + {}", self.sinks, self.recent);
            let actual = match self.block {
                1 => positions,
                _ => format!("{positions}, in up to {forced} blocks"),
            };
            return Err(InvalidInput::new(OPERATION, "sinks + recent", required, actual));
        }
        self.table.as_ref().map_or(Ok(()), SlotTable::validate)
    }
}

impl SlotTable {
    fn validate(&self) -> Result<(), InvalidInput> {
        let error =
            |field, required: String, actual: u32| Err(InvalidInput::new(OPERATION, field, required, actual));
        if !self.page_size.is_power_of_two() || self.page_size > 256 {
            return error("table.page_size", "a power of two from 1 to 256".into(), self.page_size);
        }
        // Slots and positions are numbered in i32.
        let most = i32::MAX as u32 / self.page_size;
        for (field, count) in [("table.pages", self.pages), ("table.table_width", self.table_width)] {
            if count == 0 || count > most {
                return error(field, format!("from 1 to {most}"), count);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> SelectProblem {
        SelectProblem {
            quota: 128,
            sinks: 4,
            recent: 64,
            pooling: 5,
            everything: 2048,
            maps: Maps::Both,
            slots: Some(16),
            table: Some(SlotTable { pages: 100, page_size: 16, table_width: 50 }),
            ..SelectProblem::plain(16, 1 << 19, 512)
        }
    }

    #[test]
    fn the_plain_form_and_the_full_one_are_valid() {
        assert_eq!(problem().validate(), Ok(()));
        assert_eq!(SelectProblem::plain(1, 1, 1).validate(), Ok(()));
        assert_eq!(SelectProblem::plain(65_535, i32::MAX as u32, 4096).validate(), Ok(()));
    }

    #[test]
    fn every_field_out_of_range_is_refused_by_name() {
        let field = |change: fn(&mut SelectProblem)| {
            let mut problem = problem();
            change(&mut problem);
            problem.validate().unwrap_err().field
        };
        assert_eq!(field(|p| p.batch = 0), "batch");
        assert_eq!(field(|p| p.batch = 65_536), "batch");
        assert_eq!(field(|p| p.map_capacity = 0), "map_capacity");
        assert_eq!(field(|p| p.map_capacity = 1 << 31), "map_capacity");
        assert_eq!(field(|p| p.budget = 0), "budget");
        assert_eq!(field(|p| p.budget = 4097), "budget");
        assert_eq!(field(|p| p.quota = 513), "quota");
        assert_eq!(field(|p| p.maps = Maps::Target), "quota");
        assert_eq!(field(|p| p.slots = Some(0)), "slots");
        assert_eq!(field(|p| p.slots = Some(1 << 31)), "slots");
        assert_eq!(field(|p| p.maps = Maps::Draft), "slots");
        assert_eq!(field(|p| p.block = 0), "block");
        assert_eq!(field(|p| p.block = 257), "block");
        assert_eq!(field(|p| p.block = 3), "budget");
        assert_eq!(field(|p| (p.block, p.quota) = (8, 4)), "quota");
        assert_eq!(field(|p| p.pooling = 0), "pooling");
        assert_eq!(field(|p| p.pooling = 4), "pooling");
        assert_eq!(field(|p| p.pooling = 65), "pooling");
        assert_eq!(field(|p| p.sinks = u32::MAX), "sinks + recent");
        assert_eq!(field(|p| p.recent = u32::MAX), "sinks + recent");
        let table = |change: fn(&mut SlotTable)| {
            let mut problem = problem();
            problem.table.as_mut().map(change);
            problem.validate().unwrap_err().field
        };
        assert_eq!(table(|t| t.page_size = 0), "table.page_size");
        assert_eq!(table(|t| t.page_size = 48), "table.page_size");
        assert_eq!(table(|t| t.page_size = 512), "table.page_size");
        assert_eq!(table(|t| t.pages = 0), "table.pages");
        assert_eq!(table(|t| t.pages = 1 << 28), "table.pages");
        assert_eq!(table(|t| t.table_width = 1 << 27), "table.table_width");
    }

    #[test]
    fn errors_name_the_values_that_do_not_fit_together() {
        let message = |problem: SelectProblem| problem.validate().unwrap_err().to_string();
        assert_eq!(
            message(SelectProblem { quota: 600, ..problem() }),
            "selection: quota must be at most the budget, 512, but is 600"
        );
        assert_eq!(
            message(SelectProblem { recent: 509, ..problem() }),
            "selection: sinks + recent must be at most the budget, 512, but is 4 + 509"
        );
        assert_eq!(
            message(SelectProblem { block: 16, recent: 482, ..problem() }),
            "selection: sinks + recent must be within 32 blocks of 16, the budget, but is 4 + 482, in up to 33 blocks"
        );
    }

    #[test]
    fn forced_blocks_are_those_that_the_unluckiest_length_touches() {
        for block in [1, 2, 7, 16] {
            for sinks in 0..20 {
                for recent in 0..40 {
                    let problem = SelectProblem { sinks, recent, block, ..problem() };
                    // Lengths at which sinks and recent positions lie apart.
                    let most = (200..200 + block).map(|length: u32| {
                        let first = (length - recent) / block;
                        let last = if recent == 0 { 0 } else { length.div_ceil(block) - first };
                        sinks.div_ceil(block) + last
                    });
                    assert_eq!(problem.forced_blocks(), u64::from(most.max().unwrap()), "{problem:?}");
                }
            }
        }
    }

    #[test]
    fn bytes_are_the_maps_that_are_read_and_the_sets() {
        let plain = SelectProblem::plain(2, 1000, 10);
        assert_eq!(plain.bytes(), 4 * (1000 + 20));
        let both = SelectProblem { maps: Maps::Both, ..plain };
        assert_eq!(both.bytes(), plain.bytes());
        assert_eq!(SelectProblem { quota: 1, ..both }.bytes(), 4 * (2000 + 20));
        assert_eq!(SelectProblem { maps: Maps::Draft, ..plain }.bytes(), plain.bytes());
        let table = Some(SlotTable { pages: 1, page_size: 1, table_width: 1 });
        assert_eq!(SelectProblem { table, ..plain }.bytes(), 4 * (1000 + 40));
        assert_eq!(SelectProblem { maps: Maps::Neither, ..plain }.bytes(), 4 * 20);
    }

    #[test]
    fn sinks_and_a_window_need_no_map() {
        let problem = SelectProblem::sinks_and_window(3, 1000, 4, 60);
        assert_eq!(problem.validate(), Ok(()));
        assert!(!problem.maps.draft() && !problem.maps.target());
        assert_eq!((problem.budget, problem.map_capacity), (64, 3000));
        assert_eq!(problem.equal_parts(), [0, 1000, 2000, 3000]);
        let field = |problem: SelectProblem| problem.validate().unwrap_err().field;
        assert_eq!(field(SelectProblem { quota: 1, ..problem }), "quota");
        assert_eq!(field(SelectProblem { slots: Some(1), ..problem }), "slots");
        assert_eq!(field(SelectProblem::sinks_and_window(65_535, 1 << 20, 4, 60)), "map_capacity");
        assert_eq!(field(SelectProblem::sinks_and_window(1, 1, 0, 0)), "budget");
        assert_eq!(field(SelectProblem::sinks_and_window(1, 1, 1, u32::MAX)), "budget");
    }
}
