//! What the tests of several back ends share: random problems, the back ends, and the verdict on what a back end gave.

pub mod accept_statistics;
pub mod capi;
pub mod cuda_accept;
pub mod cuda_backend;
pub mod cuda_cache;
pub mod cuda_layers;
pub mod cuda_score;
pub mod cuda_select;
pub mod executor_accept;
pub mod executor_backend;
pub mod executor_cache;
pub mod executor_score;
pub mod executor_select;
pub mod fake_driver;
pub mod gpu;
pub mod property;
pub mod ranks;
pub mod score;
pub mod select;
pub mod sets;
pub mod verdict;
pub mod verifier;
