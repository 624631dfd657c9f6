//! The arrays of a scoring problem: how they are strided, and views of those that lie in host memory.

use crate::{
    error::{InvalidInput, require_items, require_scale},
    score::problem::{OPERATION, ScoreProblem, Source},
    strides::{require_rows, require_vectors, span},
};

/// Distances between rows, in items of the array they belong to (elements, not bytes). The same for every source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScoreStrides {
    /// From one slot of captured queries to the next; a multiple of 8, as are the other two of queries.
    pub query_slot: u64,
    /// From one captured query token to the next.
    pub query_token: u64,
    /// From one captured head to the next.
    pub query_head: u64,
    /// From one sequence's block table to the next.
    pub table: u64,
}

impl ScoreStrides {
    /// Arrays without gaps: tables `[batch, table_width]`, and queries `[slots, tokens, heads, head_dim]` with as many
    /// heads as the source with the most has.
    #[must_use]
    pub fn dense(problem: &ScoreProblem) -> Self {
        let heads = problem.sources.iter().map(|source| source.heads.len() as u64).max().unwrap_or(0);
        let query_head = u64::from(problem.kv.head_dim);
        let query_token = heads.saturating_mul(query_head);
        let query_slot = query_token.saturating_mul(problem.tokens.into());
        Self { query_slot, query_token, query_head, table: problem.table_width.into() }
    }

    /// Checks the strides of `problem`'s arrays, which must be valid itself.
    ///
    /// # Errors
    /// The first stride that is not a multiple of 8 where it must be, or that lets tables overlap.
    pub fn validate(&self, problem: &ScoreProblem) -> Result<(), InvalidInput> {
        for (field, stride) in [
            ("strides.query_slot", self.query_slot),
            ("strides.query_token", self.query_token),
            ("strides.query_head", self.query_head),
        ] {
            require_vectors(OPERATION, field, stride)?;
        }
        require_rows(OPERATION, "strides.table", self.table, problem.table_width)
    }

    /// Items of the array of `source`'s captured queries.
    #[must_use]
    pub fn query_extent(&self, problem: &ScoreProblem, source: &Source) -> u64 {
        let heads = span(source.heads.len() as u64, self.query_head, problem.kv.head_dim.into());
        span(problem.slots.into(), self.query_slot, span(problem.tokens.into(), self.query_token, heads))
    }

    /// Items of the array of block tables.
    #[must_use]
    pub fn table_extent(&self, problem: &ScoreProblem) -> u64 {
        span(problem.batch.into(), self.table, problem.table_width.into())
    }

    /// Item offset of the query of captured head `head` at captured token `token` in `slot`.
    #[must_use]
    pub fn query(&self, slot: u32, token: u32, head: u32) -> u64 {
        u64::from(slot) * self.query_slot
            + u64::from(token) * self.query_token
            + u64::from(head) * self.query_head
    }
}

/// What one source reads of its own, in host memory; 16-bit items as their bits.
#[derive(Clone, Copy, Debug)]
pub struct SourceArrays<'a> {
    /// Captured queries after rotary embedding, `[slots, tokens, heads, head_dim]`.
    pub query: &'a [u16],
    /// The layer's key cache after rotary embedding.
    pub key: &'a [u16],
}

/// What scoring reads, in host memory. The shapes are those of [`Params`](dustin_kernels::score::params::Params).
#[derive(Clone, Debug)]
pub struct ScoreArrays<'a> {
    /// The sources, in the problem's order.
    pub sources: Vec<SourceArrays<'a>>,
    /// The slot of each sequence's queries, `[batch]`; negative: it has none. Nothing: sequence `b` has slot `b`.
    pub slots: Option<&'a [i32]>,
    /// Physical page numbers, `[batch, table_width]`, for every layer.
    pub block_table: &'a [i32],
    /// Confirmed lengths, `[batch]`.
    pub lengths: &'a [i32],
    /// First position of each sequence's part of the map and, last, the end, `[batch + 1]`. No two parts may overlap: here
    /// the later one is refused; a GPU does not look for it, and all scores of both sequences are undefined.
    pub map_starts: &'a [i32],
    /// The softmax scale.
    pub scale: f32,
    /// Distances between rows.
    pub strides: ScoreStrides,
}

impl ScoreArrays<'_> {
    /// Checks the problem, the strides, the scale and that every array holds what the shapes ask for.
    ///
    /// # Errors
    /// The first field that is not as documented, or the first array that is too short.
    pub fn validate(&self, problem: &ScoreProblem) -> Result<(), InvalidInput> {
        problem.validate()?;
        self.strides.validate(problem)?;
        require_scale(OPERATION, self.scale)?;
        let sources = (problem.sources.len(), self.sources.len());
        if sources.0 != sources.1 {
            let required = format!("{}, as many as the problem's", sources.0);
            return Err(InvalidInput::new(OPERATION, "sources", required, sources.1));
        }
        for (source, arrays) in problem.sources.iter().zip(&self.sources) {
            let required = self.strides.query_extent(problem, source);
            require_items(OPERATION, "query", arrays.query.len(), required)?;
            require_items(OPERATION, "key", arrays.key.len(), problem.kv.extent())?;
        }
        let batch = u64::from(problem.batch);
        match self.slots {
            Some(slots) => require_items(OPERATION, "slots", slots.len(), batch)?,
            None => require_own_slots(problem)?,
        }
        for (field, actual, required) in [
            ("block_table", self.block_table.len(), self.strides.table_extent(problem)),
            ("lengths", self.lengths.len(), batch),
            ("map_starts", self.map_starts.len(), batch + 1),
        ] {
            require_items(OPERATION, field, actual, required)?;
        }
        Ok(())
    }
}

/// Refuses a problem with fewer slots than sequences, where every sequence has the slot of its own number.
pub(super) fn require_own_slots(problem: &ScoreProblem) -> Result<(), InvalidInput> {
    if problem.slots < problem.batch {
        let required = format!("at least {}, the batch, as no slots are given", problem.batch);
        return Err(InvalidInput::new(OPERATION, "slots", required, problem.slots));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Dtype;

    use super::*;
    use crate::kv::{KvLayout, PagedKv};

    fn problem() -> ScoreProblem {
        ScoreProblem {
            batch: 3,
            map_capacity: 100,
            tokens: 2,
            slots: 4,
            query_heads: 8,
            kv: PagedKv::dense(KvLayout::Nhd, 16, 16, 2, 64),
            table_width: 8,
            dtype: Dtype::Bf16,
            sources: Source::mean(&[&[1, 2, 5], &[0]], 2),
            accumulate: false,
        }
    }

    #[test]
    fn dense_strides_have_room_for_the_source_with_the_most_heads() {
        let problem = problem();
        let strides = ScoreStrides::dense(&problem);
        strides.validate(&problem).unwrap();
        assert_eq!(strides.query_extent(&problem, &problem.sources[0]), 4 * 2 * 3 * 64);
        assert_eq!(strides.query(3, 1, 2) + 64, 4 * 2 * 3 * 64);
        assert_eq!(strides.query_extent(&problem, &problem.sources[1]), (3 * 2 * 3 + 3 + 1) * 64);
        assert_eq!(strides.table_extent(&problem), 24);
    }

    #[test]
    fn arrays_that_are_too_short_and_bad_strides_are_refused_by_name() {
        let problem = problem();
        let (query, key, integers) = (vec![0; 4 * 2 * 3 * 64], vec![0; 16 * 16 * 2 * 64], vec![0; 24]);
        let good = ScoreArrays {
            sources: vec![SourceArrays { query: &query, key: &key }; 2],
            slots: Some(&integers[..3]),
            block_table: &integers,
            lengths: &integers[..3],
            map_starts: &integers[..4],
            scale: 0.125,
            strides: ScoreStrides::dense(&problem),
        };
        good.validate(&problem).unwrap();
        let field = |change: &dyn Fn(&mut ScoreArrays<'_>)| {
            let mut arrays = good.clone();
            change(&mut arrays);
            arrays.validate(&problem).unwrap_err().field
        };
        assert_eq!(field(&|a| a.sources.truncate(1)), "sources");
        assert_eq!(field(&|a| a.sources[0].query = &a.sources[0].query[1..]), "query");
        assert_eq!(field(&|a| a.sources[1].key = &a.sources[1].key[1..]), "key");
        assert_eq!(field(&|a| a.slots = Some(&[0, 1])), "slots");
        assert_eq!(field(&|a| a.block_table = &a.block_table[1..]), "block_table");
        assert_eq!(field(&|a| a.lengths = &a.lengths[1..]), "lengths");
        assert_eq!(field(&|a| a.map_starts = &a.map_starts[1..]), "map_starts");
        assert_eq!(field(&|a| a.scale = f32::NAN), "scale");
        assert_eq!(field(&|a| a.strides.query_slot += 4), "strides.query_slot");
        assert_eq!(field(&|a| a.strides.query_token = 1 << 41), "strides.query_token");
        assert_eq!(field(&|a| a.strides.query_head += 1), "strides.query_head");
        assert_eq!(field(&|a| a.strides.query_head = 1 << 40), "query");
        assert_eq!(field(&|a| a.strides.table = 7), "strides.table");

        let crowded = ScoreProblem { slots: 2, ..problem.clone() };
        let arrays = ScoreArrays { slots: None, ..good.clone() };
        arrays.validate(&problem).unwrap();
        assert_eq!(arrays.validate(&crowded).unwrap_err().field, "slots");
        good.validate(&crowded).unwrap();
    }
}
