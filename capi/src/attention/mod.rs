//! Paged attention: sparse, over windows, and over whole caches.

mod launch;
mod problem;

pub use self::{launch::*, problem::*};

const OPERATION: &str = "attention";
