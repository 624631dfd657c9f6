//! What the checked-in PTX of all kernels may take: the limits of `docs/decisions/0005-checked-in-ptx.md`.

use std::fmt;

/// The most entries.
const ENTRIES: usize = 400;
/// The most bytes of PTX.
const BYTES: u64 = 16 << 20;

/// What some PTX takes of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Entries, each a file.
    pub entries: usize,
    /// The files' size, in bytes.
    pub bytes: u64,
}

impl Spent {
    /// Where it is more than the budget.
    #[must_use]
    pub fn faults(self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.entries > ENTRIES {
            faults.push(format!("{} entries of PTX are more than the budget of {ENTRIES}", self.entries));
        }
        if self.bytes > BYTES {
            faults.push(format!("{} bytes of PTX are more than the budget of {BYTES}", self.bytes));
        }
        faults
    }
}

/// Where the budget stands, such as `113/400 entries, 8.2/16 MiB`.
impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.bytes as f64 / f64::from(1 << 20);
        write!(f, "{}/{ENTRIES} entries, {mebibytes:.1}/{} MiB", self.entries, BYTES >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_is_within_the_budget() {
        let limit = Spent { entries: 400, bytes: 16_777_216 };
        assert_eq!(limit.faults(), [""; 0]);
        let entries = Spent { entries: 401, ..limit }.faults();
        assert_eq!(entries, ["401 entries of PTX are more than the budget of 400"]);
        let bytes = Spent { bytes: 16_777_217, ..limit }.faults();
        assert_eq!(bytes, ["16777217 bytes of PTX are more than the budget of 16777216"]);
    }

    #[test]
    fn where_the_budget_stands_is_one_line() {
        let spent = Spent { entries: 113, bytes: 8_598_323 };
        assert_eq!(spent.to_string(), "113/400 entries, 8.2/16 MiB");
    }
}
