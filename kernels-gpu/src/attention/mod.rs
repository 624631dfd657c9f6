//! Gather-based paged attention over a verification set.
//!
//! For every sequence, query row `r` and query head `h`:
//! `O = softmax over (set ∪ the step's own rows j <= r) of scale·q·k, times V`, with fp32 accumulation.
//!
//! One block serves one sequence, one KV head, up to `8 · columns` query columns (a column is a pair of query row
//! and query head of the KV head's group) and one split of the sequence's tokens. Tokens stand on the M side of the
//! tensor-core products (`S = K·Qᵀ`, `Oᵀ = Vᵀ·P`), so that the 40 columns of 5 rows and a group of 8 fill five
//! tiles of 8 without waste.
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
pub mod smem;
mod task;
pub mod variants;
