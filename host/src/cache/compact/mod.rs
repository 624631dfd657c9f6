//! The rows that verification has accepted, moved up behind the confirmed tokens: of a sequence of confirmed length `len` the
//! keys and values of its accepted row number `i`, counted from 0, go from position `len + row` to position `len + i`, in all
//! layers at once. What lies behind the last one is left as it is, as is everything else.
//!
//! Rows come in ascending order, as those of a path through a tree whose nodes follow their parents do. So a row never moves
//! to a position that one behind it has yet to leave.

pub mod arrays;
pub mod launch;
pub mod problem;
pub mod reference;

pub(crate) const OPERATION: &str = "KV compaction";
