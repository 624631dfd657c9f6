//! What a caller asks of attention, in what the host knows: capacities, geometry, layout and types.
//!
//! Lengths, tables and sets live on the device. Tuning keys are made of these problems alone.

use dustin_kernels::registry::Dtype;

use crate::{error::InvalidInput, kv::PagedKv};

const OPERATION: &str = "sparse attention";

/// Attention of one layer over the verification sets of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionProblem {
    /// Sequences in the batch, at least 1.
    pub batch: u32,
    /// The most query rows that one sequence may have (γ + 1): 1 to 64.
    pub rows: u32,
    /// Query rows in the whole batch, the capacity of queries and outputs: at most `batch · rows`.
    pub total_rows: u32,
    /// The most positions that one sequence's set may have (the budget k).
    pub set_capacity: u32,
    /// Query heads of this rank.
    pub query_heads: u32,
    /// The caches of this rank.
    pub kv: PagedKv,
    /// Pages in one sequence's block table: its capacity in tokens is `table_width · page_size`.
    pub table_width: u32,
    /// Element type of queries, keys, values and outputs.
    pub dtype: Dtype,
    /// Whether the log-sum-exp is asked for.
    pub lse: bool,
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

    /// Bytes that the operation must move at the least when every set is full: the sets' and the step's own keys and
    /// values, queries, outputs and indices. Saturates where the problem is not valid.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let (rows, head_bytes) = (u64::from(self.total_rows), u64::from(self.kv.head_dim) * 2);
        let tokens = (u64::from(self.batch) * u64::from(self.set_capacity)).saturating_add(rows);
        let vectors = |count: u64, heads: u32| {
            count.saturating_mul(heads.into()).saturating_mul(head_bytes).saturating_mul(2)
        };
        vectors(tokens, self.kv.kv_heads)
            .saturating_add(vectors(rows, self.query_heads))
            .saturating_add(tokens.saturating_mul(4))
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
        if u64::from(self.set_capacity) > u64::from(self.table_width) * u64::from(self.kv.page_size) {
            let required =
                format!("at most table_width · page_size = {}", self.table_width * self.kv.page_size);
            return error("set_capacity", required, self.set_capacity);
        }
        Ok(())
    }
}
