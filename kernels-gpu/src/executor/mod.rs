//! The SIMT executor.
pub mod ops;
