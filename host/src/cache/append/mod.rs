//! The step's own rows, written behind the confirmed tokens: row `r` of a sequence of confirmed length `len` to position
//! `len + r`, in one layer's caches. Nothing else of the caches changes.

pub mod arrays;
pub mod launch;
pub mod reference;

pub(crate) const OPERATION: &str = "KV append";

use super::step::Step;

/// Bytes that appending must move at the least when the step has all of its rows: each row read and written once.
#[must_use]
pub fn bytes(step: &Step) -> u64 {
    2 * u64::from(step.total_rows) * step.token_bytes()
}
