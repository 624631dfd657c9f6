//! Fused score gathering of semantic retrieval heads.
//!
//! For every sequence, with `c` over the columns (pairs of captured query token and captured query head) of one source
//! and `j` over the sequence's confirmed positions:
//! `map[j] (+)= Σ_c w_c · softmax_j(scale · q_c · k_j)`, probabilities and sums in fp32.
//!
//! Keys are read once. A sequence's positions are divided into *chunks*, a function of its length alone ([`layout`]).
//! The `logits` kernel writes a chunk's logits and, for each column, their maximum and sum to a workspace; the `fold`
//! kernel combines the chunks' sums, and folds the logits into the map. Where a step has several sources (draft layers),
//! the `logits` kernel of the next source folds what the one before left, chunk by chunk, before it overwrites it: that
//! traffic stays in the L2 cache and hides behind the keys.
//!
//! Tokens stand on the N side of the tensor-core products, columns on the M side. A product sums over the head dimension,
//! whose order is free as long as keys and queries agree on it: a lane takes 16-byte words of a key as they lie in memory,
//! from the cache to the registers that the product reads. There is no staging of keys in shared memory and no barrier
//! between tiles.

pub mod config;
pub mod fold;
mod heads;
mod keys;
pub mod layout;
pub mod logits;
pub mod params;
mod sequence;
pub mod smem;
mod sums;
mod tile;
pub mod variants;
mod walk;
