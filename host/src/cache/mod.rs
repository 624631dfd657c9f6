//! Writing to paged KV caches: a step's own rows, and those of them that were accepted. What is asked, how it is launched,
//! and what it must give.
//!
//! | module | what it holds |
//! |---|---|
//! | [`step`] | what both operations are told of a step: capacities, caches, lengths, rows and tables |
//! | [`layer`] | one layer's caches in host memory |
//! | [`append`] | a step's own rows, written behind the confirmed tokens |
//! | [`compact`] | the rows that a verified tree leaves, moved up behind the confirmed tokens in all layers |
//! | [`capture`] | queries of one row of each sequence, copied to where scoring reads them |
//! | [`launch`] | what the launches of all have in common |
//! | [`synthetic`] | inputs made up from a seed, with poison and planted faults |
//! | [`compare`] | a back end's caches against the reference, bit for bit |

pub mod append;
pub mod capture;
pub mod compact;
pub mod compare;
pub mod launch;
pub mod layer;
pub(crate) mod overlap;
pub mod step;
pub mod synthetic;
