//! Fused score gathering of semantic retrieval heads.
//!
//! For every sequence, with `c` over the columns (pairs of captured query token and captured query head) of one source
//! and `j` over the sequence's confirmed positions:
//! `map[j] (+)= Σ_c w_c · softmax_j(scale · q_c · k_j)`, probabilities and sums in fp32.
//!
//! Keys are read once. A sequence's positions are divided into *chunks*, a function of its length alone ([`layout`]), each
//! one warp's work. The `logits` kernel writes the exponentials of a chunk's logits relative to a base of each column, as
//! floats or in 16 bits (`packed`), and their sums to a workspace; the `fold` kernel combines the chunks' sums, and folds the
//! exponentials into the map. Where a job has several sources (draft layers), the `logits` kernel of the next source folds
//! what the one before left, chunk by chunk, before it overwrites it.
//!
//! Tokens stand on the M side of the tensor-core products, eight columns on the N side.

mod columns;
pub mod config;
pub mod fold;
mod heads;
mod keys;
pub mod layout;
pub mod logits;
mod norms;
mod packed;
pub mod params;
mod sequence;
pub mod smem;
mod sums;
mod tile;
pub mod variants;
mod walk;
mod work;
