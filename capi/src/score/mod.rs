//! Score gathering: importance maps from chosen heads.

mod launch;
mod problem;

pub use self::{launch::*, problem::*};

const OPERATION: &str = "score";
