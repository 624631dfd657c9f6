//! What a caller asks of compacting, in what the host knows.

use super::OPERATION;
use crate::{cache::step::Step, error::InvalidInput};

/// The compaction of a step's accepted rows in every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CompactProblem {
    /// The step whose rows were verified, with caches of the same shape and strides in every layer.
    pub step: Step,
    /// Layers, at least 1.
    pub layers: u32,
    /// Accepted rows that one sequence's list has room for: 1 to 64.
    pub accepted: u32,
    /// Whether an array says how many entries each list has. Else a negative entry ends a list that does not fill its room.
    pub counted: bool,
}

impl CompactProblem {
    /// Bytes that compacting must move at the least when every list is full and all of its rows move but the first, which a
    /// step's first row is: each read and written once.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let rows = u64::from(self.step.batch) * u64::from(self.accepted.saturating_sub(1));
        2 * rows * u64::from(self.layers) * self.step.token_bytes()
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is not as documented.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        let error =
            |field, required: &str, actual: u32| Err(InvalidInput::new(OPERATION, field, required, actual));
        self.step.validate(OPERATION)?;
        if self.layers == 0 || u64::from(self.layers) * self.step.columns() > i32::MAX as u64 {
            return error("layers", "at least 1, and few enough for 2^31 threads", self.layers);
        }
        if self.accepted == 0 || self.accepted > 64 {
            return error("accepted", "from 1 to 64", self.accepted);
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
        let step = Step { batch: 16, rows: 64, total_rows: 80, kv, table_width: 50 };
        let good = CompactProblem { step, layers: 80, accepted: 5, counted: true };
        assert_eq!(good.validate(), Ok(()));
        let field = |problem: CompactProblem| problem.validate().unwrap_err().field;
        assert_eq!(field(CompactProblem { step: Step { rows: 0, ..step }, ..good }), "rows");
        assert_eq!(field(CompactProblem { layers: 0, ..good }), "layers");
        assert_eq!(field(CompactProblem { layers: 1 << 24, ..good }), "layers");
        assert_eq!(field(CompactProblem { accepted: 0, ..good }), "accepted");
        assert_eq!(field(CompactProblem { accepted: 65, ..good }), "accepted");
        assert_eq!(good.bytes(), 2 * 16 * 4 * 80 * 4096);
    }
}
