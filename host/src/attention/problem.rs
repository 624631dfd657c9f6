//! What a caller asks of attention, in what the host knows: capacities, geometry, layout and types.
//!
//! Lengths, tables and sets live on the device. Tuning keys are made of these problems alone.

use dustin_kernels::registry::Dtype;

use crate::{error::InvalidInput, kv::PagedKv};

const OPERATION: &str = "paged attention";

/// The batch that choices are made for which must not depend on the batch.
pub const INVARIANT_BATCH: u32 = 16;

/// Which of the step's own rows a row sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mask {
    /// Itself and the earlier ones.
    #[default]
    Causal,
    /// Those that its 64-bit mask names, such as a tree's: bit `j` for the sequence's row `j`, its own bit included. Rows that nobody sees
    /// must be finite all the same: on a GPU a NaN in the value of one reaches all rows of the sequence.
    Tree,
}

/// What entries of a set count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Entries {
    /// Positions of the sequence, which the block table finds.
    #[default]
    Positions,
    /// Slots of the cache: `page · page_size + token of the page`. Their tokens are found without the block table, which the step's own
    /// rows still need, and nobody checks that they are the sequence's.
    Slots,
}

/// The verification sets of a batch: the confirmed tokens that attention reads, listed.
///
/// A set may also be the flag [`EVERYTHING`](dustin_kernels::attention::params::EVERYTHING) in place of its size: then all of the
/// sequence's confirmed tokens are read, however many. Choices are made for the capacity: where such sequences may be much longer, plan
/// the launch with more splits. Those that a sequence has no tokens for cost nothing.
///
/// All layers of a step can share the sets, or each can have its own: a launch is told where they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sets {
    /// The most tokens of a set (the budget k): a multiple of `block`.
    pub capacity: u32,
    /// Tokens that one entry stands for, a power of two from 1 to 256: entry `e` for those from `e · block` on. 1 for sets of tokens; the
    /// page size for sets of pages.
    pub block: u32,
    /// What entries count, in blocks.
    pub entries: Entries,
    /// Whether each KV head has a set of its own; else all of a sequence's share one.
    pub per_kv_head: bool,
}

impl Sets {
    /// Sets of at most `capacity` positions, one for each sequence.
    #[must_use]
    pub const fn of_positions(capacity: u32) -> Self {
        Self { capacity, block: 1, entries: Entries::Positions, per_kv_head: false }
    }

    /// Entries that a set has room for.
    #[must_use]
    pub fn entry_capacity(&self) -> u32 {
        self.capacity / self.block.max(1)
    }
}

/// The confirmed tokens that attention reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confirmed {
    /// All: full-cache attention.
    Everything,
    /// The first `sinks` and the last `recent` of each sequence: the window of a streaming draft model. Needs no sets in memory.
    Window {
        /// First tokens of the sequence.
        sinks: u32,
        /// Last confirmed tokens of the sequence.
        recent: u32,
    },
    /// Those of its set.
    Sets(Sets),
}

/// Attention of one layer over confirmed tokens of a batch, and over the step's own rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionProblem {
    /// Sequences in the batch, at least 1.
    pub batch: u32,
    /// The most query rows that one sequence may have (γ + 1): 1 to 64.
    pub rows: u32,
    /// Query rows in the whole batch, the capacity of queries and outputs: at most `batch · rows`.
    pub total_rows: u32,
    /// The confirmed tokens that are read.
    pub confirmed: Confirmed,
    /// Query heads of this rank.
    pub query_heads: u32,
    /// The caches of this rank.
    pub kv: PagedKv,
    /// Pages in one sequence's block table: its capacity in tokens is `table_width · page_size`.
    pub table_width: u32,
    /// Element type of queries, keys, values and outputs.
    pub dtype: Dtype,
    /// Which of the step's own rows a row sees.
    pub mask: Mask,
    /// Whether the log-sum-exp is asked for.
    pub lse: bool,
    /// Whether choices made for it must not depend on the batch, so that a sequence's bits do not, either.
    pub batch_invariant: bool,
}

impl AttentionProblem {
    /// Query heads that share one KV head; 0 if there are no KV heads.
    #[must_use]
    pub const fn group(&self) -> u32 {
        match self.query_heads.checked_div(self.kv.kv_heads) {
            Some(group) => group,
            None => 0,
        }
    }

    /// Tokens that one sequence's block table has room for; saturates where the problem is not valid.
    #[must_use]
    pub const fn table_tokens(&self) -> u32 {
        self.table_width.saturating_mul(self.kv.page_size)
    }

    /// The most confirmed tokens of one sequence that are read, unless it has the flag EVERYTHING in place of a set.
    #[must_use]
    pub fn confirmed_capacity(&self) -> u32 {
        match self.confirmed {
            Confirmed::Everything => self.table_tokens(),
            Confirmed::Window { sinks, recent } => sinks.saturating_add(recent).min(self.table_tokens()),
            Confirmed::Sets(sets) => sets.capacity,
        }
    }

    /// The batch that choices are made for.
    #[must_use]
    pub const fn scheduled_batch(&self) -> u32 {
        if self.batch_invariant { INVARIANT_BATCH } else { self.batch }
    }

    /// The sets, where there are any.
    #[must_use]
    pub const fn sets(&self) -> Option<Sets> {
        match self.confirmed {
            Confirmed::Sets(sets) => Some(sets),
            _ => None,
        }
    }

    /// Sets of each sequence: one, or one for each KV head; 0 where there are none.
    #[must_use]
    pub fn sets_per_sequence(&self) -> u32 {
        self.sets().map_or(0, |sets| if sets.per_kv_head { self.kv.kv_heads } else { 1 })
    }

    /// Bytes that the operation must move at the least when every set is full: the sets' and the step's own keys and
    /// values, queries, outputs and indices. Saturates where the problem is not valid.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let (rows, head_bytes) = (u64::from(self.total_rows), u64::from(self.kv.head_dim) * 2);
        let confirmed = u64::from(self.batch) * u64::from(self.confirmed_capacity());
        let tokens = confirmed.saturating_add(rows);
        let vectors = |count: u64, heads: u32| {
            count.saturating_mul(heads.into()).saturating_mul(head_bytes).saturating_mul(2)
        };
        vectors(tokens, self.kv.kv_heads).saturating_add(vectors(rows, self.query_heads)).saturating_add(
            self.sets().map_or(0, |sets| {
                let sets_in_all = u64::from(self.batch) * u64::from(self.sets_per_sequence());
                sets_in_all.saturating_mul(u64::from(sets.entry_capacity()) * 4)
            }),
        )
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is not as documented.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        let error =
            |field, required: String, actual: u32| Err(InvalidInput::new(OPERATION, field, required, actual));
        self.kv.validate(OPERATION)?;
        if self.batch == 0 || self.batch > 65_535 {
            return error("batch", "from 1 to 65535".into(), self.batch);
        }
        if self.rows == 0 || self.rows > 64 {
            return error("rows", "from 1 to 64".into(), self.rows);
        }
        if self.total_rows == 0 || u64::from(self.total_rows) > u64::from(self.batch) * u64::from(self.rows) {
            return error("total_rows", "from 1 to batch · rows".into(), self.total_rows);
        }
        self.kv.places(OPERATION)?;
        self.kv.require_query_heads(OPERATION, self.query_heads)?;
        self.kv.require_table(OPERATION, self.table_width)?;
        if let Confirmed::Window { sinks, recent } = self.confirmed
            && u64::from(sinks) + u64::from(recent) > i32::MAX as u64
        {
            return error("sinks + recent", "below 2^31".into(), sinks.saturating_add(recent));
        }
        let Some(sets) = self.sets() else { return Ok(()) };
        if !sets.block.is_power_of_two() || sets.block > 256 {
            return error("sets.block", "a power of two from 1 to 256".into(), sets.block);
        }
        if !sets.capacity.is_multiple_of(sets.block) {
            return error("sets.capacity", format!("a multiple of the block, {}", sets.block), sets.capacity);
        }
        // The last block of a table may lie in part behind it.
        let tokens = self.table_tokens().next_multiple_of(sets.block).min(i32::MAX as u32);
        if sets.capacity > tokens {
            let required = format!("at most {tokens}, the tokens of a block table in whole blocks");
            return error("sets.capacity", required, sets.capacity);
        }
        if sets.entries == Entries::Slots {
            let slots = u64::from(self.kv.pages) * u64::from(self.kv.page_size);
            if slots > 1 << 31 {
                let required = "a cache of at most 2^31 tokens, where sets count slots";
                return Err(InvalidInput::new(OPERATION, "kv.pages", required, self.kv.pages));
            }
            if sets.block > self.kv.page_size {
                let required =
                    format!("at most the page size, {}, where sets count slots", self.kv.page_size);
                return error("sets.block", required, sets.block);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KvLayout;

    /// Block tables of 128 tokens.
    fn problem(confirmed: Confirmed) -> AttentionProblem {
        AttentionProblem {
            batch: 2,
            rows: 5,
            total_rows: 10,
            confirmed,
            query_heads: 8,
            kv: PagedKv::dense(KvLayout::Nhd, 16, 16, 2, 128),
            table_width: 8,
            dtype: Dtype::Bf16,
            mask: Mask::Causal,
            lse: false,
            batch_invariant: false,
        }
    }

    fn field(problem: AttentionProblem) -> Option<&'static str> {
        problem.validate().err().map(|error| error.field)
    }

    #[test]
    fn confirmed_tokens_out_of_range_are_refused_by_name() {
        let set = |capacity, block, entries| {
            field(problem(Confirmed::Sets(Sets { block, entries, ..Sets::of_positions(capacity) })))
        };
        for entries in [Entries::Positions, Entries::Slots] {
            assert_eq!(set(128, 16, entries), None);
            for block in [0, 3, 512, 1 << 31] {
                assert_eq!(set(0, block, entries), Some("sets.block"), "{block}");
            }
            for (capacity, block) in [(65, 2), (8, 16), (129, 1), (144, 16), (u32::MAX, 1)] {
                assert_eq!(set(capacity, block, entries), Some("sets.capacity"), "{capacity}, {block}");
            }
        }
        // Blocks of positions may be larger than pages, and the last one may lie in part behind the table.
        assert_eq!(set(256, 256, Entries::Positions), None);
        assert_eq!(set(512, 256, Entries::Positions), Some("sets.capacity"));
        assert_eq!(set(128, 32, Entries::Slots), Some("sets.block"));

        let cache = |pages, entries| {
            let kv = PagedKv::dense(KvLayout::Nhd, pages, 256, 2, 128);
            let sets = Sets { entries, ..Sets::of_positions(128) };
            field(AttentionProblem { kv, ..problem(Confirmed::Sets(sets)) })
        };
        assert_eq!(cache(1 << 23, Entries::Slots), None);
        assert_eq!(cache((1 << 23) + 1, Entries::Slots), Some("kv.pages"));
        assert_eq!(cache((1 << 23) + 1, Entries::Positions), None);

        let window = |sinks, recent| field(problem(Confirmed::Window { sinks, recent }));
        assert_eq!(window(1, i32::MAX as u32 - 1), None);
        assert_eq!(window(1, i32::MAX as u32), Some("sinks + recent"));
        assert_eq!(window(u32::MAX, u32::MAX), Some("sinks + recent"));
    }
}
