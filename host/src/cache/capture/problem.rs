//! What a caller asks of capturing, in what the host knows.

use dustin_kernels::cache::params::MAX_CAPTURED_HEADS;

use super::OPERATION;
use crate::error::InvalidInput;

/// The capture of one row's queries of each sequence, of a few heads of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CaptureProblem {
    /// Sequences in the batch, 1 to 65,535.
    pub batch: u32,
    /// Rows in the whole batch, from 1 to 2^31 - 1.
    pub total_rows: u32,
    /// Query heads of this rank: 1 to 65,535.
    pub query_heads: u32,
    /// Items in a head: 64 or 128.
    pub head_dim: u32,
    /// The heads to capture, in the order of the slots: from 1 to 64, each below `query_heads`. Those of a
    /// [source](crate::score::problem::Source) of scoring ascend.
    pub heads: Vec<u32>,
    /// Slots of the buffer, from 1 to 2^31 - 1.
    pub slots: u32,
    /// Query tokens that a slot has, at least 1; a launch writes one of them.
    pub tokens: u32,
}

impl CaptureProblem {
    /// Words of 16 bytes in a token of a slot.
    #[must_use]
    pub(super) fn columns(&self) -> u64 {
        self.heads.len() as u64 * u64::from(self.head_dim / 8)
    }

    /// Bytes that capturing must move at the least when every sequence has a row and a slot: each captured query read and
    /// written once.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        2 * 16 * u64::from(self.batch) * self.columns()
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is not as documented.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        let most = i32::MAX as u32;
        for (field, actual, most) in [
            ("batch", self.batch, 65_535),
            ("query_heads", self.query_heads, 65_535),
            ("slots", self.slots, most),
            ("tokens", self.tokens, most),
        ] {
            if !(1..=most).contains(&actual) {
                return Err(InvalidInput::new(OPERATION, field, format!("from 1 to {most}"), actual));
            }
        }
        require_total_rows(self.total_rows)?;
        if ![64, 128].contains(&self.head_dim) {
            return Err(InvalidInput::new(OPERATION, "head_dim", "64 or 128", self.head_dim));
        }
        if self.heads.is_empty() || self.heads.len() > MAX_CAPTURED_HEADS as usize {
            let required = format!("from 1 to {MAX_CAPTURED_HEADS}");
            return Err(InvalidInput::new(OPERATION, "heads", required, self.heads.len()));
        }
        match self.heads.iter().find(|&&head| head >= self.query_heads) {
            Some(head) => {
                let required = format!("below the {} query heads", self.query_heads);
                Err(InvalidInput::new(OPERATION, "head", required, head))
            }
            None => Ok(()),
        }
    }
}

/// Refuses a number of rows that no batch has.
pub(super) fn require_total_rows(total_rows: u32) -> Result<(), InvalidInput> {
    if !(1..=i32::MAX as u32).contains(&total_rows) {
        return Err(InvalidInput::new(OPERATION, "total_rows", "from 1 to 2^31 - 1", total_rows));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_out_of_range_is_refused_by_name() {
        let good = CaptureProblem {
            batch: 16,
            total_rows: 80,
            query_heads: 64,
            head_dim: 128,
            heads: vec![3, 9, 63],
            slots: 20,
            tokens: 4,
        };
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(good.bytes(), 2 * 16 * 3 * 256);
        let field = |change: fn(&mut CaptureProblem)| {
            let mut problem = good.clone();
            change(&mut problem);
            problem.validate().unwrap_err().field
        };
        assert_eq!(field(|p| p.batch = 0), "batch");
        assert_eq!(field(|p| p.batch = 65_536), "batch");
        assert_eq!(field(|p| p.total_rows = 0), "total_rows");
        assert_eq!(field(|p| p.total_rows = 1 << 31), "total_rows");
        assert_eq!(field(|p| p.query_heads = 65_536), "query_heads");
        assert_eq!(field(|p| p.head_dim = 96), "head_dim");
        assert_eq!(field(|p| p.heads.clear()), "heads");
        assert_eq!(field(|p| p.heads = vec![1; 65]), "heads");
        assert_eq!(field(|p| p.heads[0] = 64), "head");
        assert_eq!(field(|p| p.slots = 0), "slots");
        assert_eq!(field(|p| p.tokens = 0), "tokens");
    }
}
