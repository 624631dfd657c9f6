//! Gather-based paged attention over a verification set, a window or the whole cache.
//!
//! For every sequence, query row `r` and query head `h`:
//! `O = softmax over (confirmed tokens ∪ the step's own rows that r's mask names) of scale·q·k, times V`, with fp32 accumulation.
//!
//! One block serves one sequence, one KV head, up to `16 · columns` query columns (a column is a pair of query row and query
//! head of the KV head's group) and one split of the sequence's tokens. Its warps form teams that share out the tokens and
//! never wait for each other before the end. In a team, each warp has 16 query columns, on the M side of the tensor-core
//! products (`S = Q·Kᵀ`, `O = P·V`), so that the probabilities stay in its registers; the warps of a team share what they
//! gather, and meet once a step.
//!
//! Each file holds one idea: [`params`] what a launch is told, [`config`] the legal tiles, [`smem`] the plan of
//! shared memory, [`variants`] the list of compiled configurations, `kernel` the body.

pub mod config;
mod epilogue;
mod gather;
pub mod kernel;
mod online;
pub mod params;
mod products;
mod shape;
mod share;
pub mod smem;
mod task;
mod tokens;
pub mod variants;
