//! Sparse verification for long-context speculative decoding: the host side of Dustin's kernels.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cpu`] | the CPU back end: variants, tuning space, attention on host arrays |
//! | [`cuda`] | the CUDA back end: contexts, streams, memory, compiled kernels, graphs, timing |
//! | [`geometry`] | model geometry: layers, heads, head size |
//! | [`problem`] | what a caller asks, in capacities that the host knows |
//! | [`profile`] | tuned profiles: schema, tuning key, lookup and fallbacks |
//! | [`arrays`] | strides of the arrays, and views of those in host memory |
//! | [`launch`] | grid, workspace and parameters of a kernel launch |
//! | [`space`] | the tuning space as data, and the choice made without tuning |
//! | [`synthetic`] | inputs made up from a seed, with poison and planted faults |
//! | [`mod@reference`] | attention in f64, which judges every back end |
//! | [`compare`] | an output against the reference |

pub mod arrays;
pub mod compare;
pub mod cpu;
pub mod cuda;
pub mod error;
pub mod geometry;
pub mod kv;
pub mod launch;
pub mod problem;
pub mod profile;
pub mod reference;
pub mod space;
pub mod synthetic;

pub use dustin_kernels::registry::Dtype;
pub use error::InvalidInput;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
