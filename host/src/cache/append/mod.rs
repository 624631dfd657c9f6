//! The step's own rows, written behind the confirmed tokens: row `r` of a sequence of confirmed length `len` to position
//! `len + r`, in one layer's caches; and, where the problem has query heads, the rows' queries, copied to where attention reads
//! them. Nothing else of the caches and of that array changes.

pub mod arrays;
pub mod launch;
pub mod problem;
pub mod reference;

pub(crate) const OPERATION: &str = "KV append";
