//! Sparse verification for long-context speculative decoding: the host side of Dustin's kernels.
//!
//! | module | what it holds |
//! |---|---|
//! | [`attention`] | paged attention over verification sets, windows or whole caches |
//! | [`score`] | importance maps gathered from semantic retrieval heads |
//! | [`cache`] | writing to caches: a step's own rows, and the accepted ones of a tree |
//! | [`accept`] | which drafts are kept, and the next token: greedy, or as the target samples |
//! | [`select`] | verification sets from importance maps: block-wise Top-K with quotas |
//! | [`geometry`], [`kv`], [`element`] | model geometry, paged caches, element types |
//! | [`limits`] | what of a GPU bounds a launch |
//! | [`verifier`] | all stages of a verification step from one plan |
//! | [`profile`] | tuned profiles: schema, tuning key, lookup and fallbacks |
//! | [`cpu`] | the CPU back end: variants, tuning space, kernels on host arrays |
//! | [`cuda`] | the CUDA back end: contexts, streams, memory, compiled kernels, graphs, timing |

pub mod accept;
pub mod attention;
pub mod cache;
pub mod cpu;
pub mod cuda;
pub mod element;
pub mod error;
pub mod geometry;
pub mod kv;
pub mod limits;
pub mod profile;
pub mod score;
pub mod select;
mod strides;
mod synthetic;
pub mod verifier;
mod workspace;

pub use dustin_kernels::registry::Dtype;
pub use error::InvalidInput;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// And those of the guide to the verifier.
#[cfg(doctest)]
#[doc = include_str!("../../docs/verifier.md")]
struct VerifierGuide;

/// And those of the guide to linking.
#[cfg(doctest)]
#[doc = include_str!("../../docs/linking.md")]
struct LinkingGuide;
