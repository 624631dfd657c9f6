//! Sparse verification for long-context speculative decoding: the host side of Dustin's kernels.
//!
//! | module | what it holds |
//! |---|---|
//! | [`geometry`] | model geometry: layers, heads, head size |
//! | [`problem`] | what a caller asks, in capacities that the host knows |

pub mod error;
pub mod geometry;
pub mod kv;
pub mod problem;

pub use dustin_kernels::registry::Dtype;
pub use error::InvalidInput;
