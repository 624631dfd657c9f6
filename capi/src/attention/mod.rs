//! Paged attention: sparse, over windows, and over whole caches.

mod launch;
mod problem;

pub(crate) use self::problem::Attention;
pub use self::{launch::*, problem::*};

const OPERATION: &str = "attention";
