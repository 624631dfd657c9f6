//! Queries captured for scoring: those of one row of each sequence, of a few heads of one layer, copied to the sequence's slot of
//! a buffer that [score gathering](crate::score) reads, `[slots, tokens, heads, head_dim]`. The row is the last accepted one, as
//! [acceptance](crate::accept) names it, or, as behind a prefill, the last of all.
//!
//! A launch writes one token of the slots: a target's have one, a draft's one for each of its forwards.

pub mod arrays;
pub mod launch;
pub mod problem;
pub mod reference;

pub(crate) const OPERATION: &str = "query capture";
