//! What a caller asks of appending, in what the host knows.

use super::OPERATION;
use crate::{attention::problem::AttentionProblem, cache::step::Step, error::InvalidInput};

/// The writing of a step's own rows, in one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppendProblem {
    /// The step.
    pub step: Step,
    /// Query heads of this rank, whose queries are copied to where attention reads them: 1 to 16 for each KV head, or 0: no
    /// queries are copied.
    pub query_heads: u32,
}

/// The writing of what a layer's attention then reads: the step's own keys and values, and the queries.
impl From<&AttentionProblem> for AppendProblem {
    fn from(problem: &AttentionProblem) -> Self {
        let AttentionProblem { batch, rows, total_rows, kv, table_width, query_heads, .. } = *problem;
        Self { step: Step { batch, rows, total_rows, kv, table_width }, query_heads }
    }
}

impl AppendProblem {
    /// Words of 16 bytes in a token's keys and in a row's queries.
    #[must_use]
    pub(super) fn columns(&self) -> u64 {
        self.step.columns() + u64::from(self.query_heads) * u64::from(self.step.kv.head_dim / 8)
    }

    /// Bytes that appending must move at the least when the step has all of its rows: each row's keys, values and queries read
    /// and written once.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let queries = 2 * u64::from(self.query_heads) * u64::from(self.step.kv.head_dim);
        2 * u64::from(self.step.total_rows) * (self.step.token_bytes() + queries)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is not as documented.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        self.step.validate(OPERATION)?;
        if self.query_heads > 0 {
            self.step.kv.require_query_heads(OPERATION, self.query_heads)?;
        }
        if self.columns() * u64::from(self.step.rows) > i32::MAX as u64 {
            let required = "few enough for 2^31 threads";
            return Err(InvalidInput::new(OPERATION, "query_heads", required, self.query_heads));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{KvLayout, PagedKv};

    #[test]
    fn every_field_out_of_range_is_refused_by_name() {
        let kv = PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 128);
        let step = Step { batch: 16, rows: 5, total_rows: 80, kv, table_width: 50 };
        let good = AppendProblem { step, query_heads: 64 };
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(AppendProblem { query_heads: 0, ..good }.validate(), Ok(()));
        let field = |problem: AppendProblem| problem.validate().unwrap_err().field;
        assert_eq!(field(AppendProblem { step: Step { rows: 0, ..step }, ..good }), "rows");
        assert_eq!(field(AppendProblem { query_heads: 63, ..good }), "query_heads");
        assert_eq!(field(AppendProblem { query_heads: 136, ..good }), "query_heads / kv_heads");
        let wide = PagedKv::dense(KvLayout::Nhd, 1, 1, 1 << 20, 128);
        let step = Step { rows: 64, total_rows: 64, kv: wide, ..step };
        assert_eq!(AppendProblem { step, query_heads: 1 << 20 }.validate().unwrap_err().field, "query_heads");
    }

    #[test]
    fn rows_are_read_and_written_once_with_their_queries() {
        let kv = PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 128);
        let step = Step { batch: 16, rows: 5, total_rows: 80, kv, table_width: 50 };
        assert_eq!(AppendProblem { step, query_heads: 0 }.bytes(), 2 * 80 * 4096);
        assert_eq!(AppendProblem { step, query_heads: 64 }.bytes(), 2 * 80 * (4096 + 16_384));
    }
}
