//! Score gathering: importance maps from chosen heads.

mod launch;
mod problem;

pub(crate) use self::problem::Score;
pub use self::{launch::*, problem::*};

const OPERATION: &str = "score";
