//! What the tests of the verifier share, whatever the back end: a small pair of models with the caches of some sequences, the
//! batches that are made of these, a step's outcome on each back end, and the verdict on it.

pub mod addresses;
pub mod batch;
pub mod cpu;
pub mod cuda;
pub mod forwards;
pub mod needles;
pub mod next;
pub mod outcome;
pub mod proposals;
pub mod share;
pub mod world;
