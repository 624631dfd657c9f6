//! The verifier: all stages of a step from one plan.
//!
//! | file | what it holds |
//! |---|---|
//! | `model`, `rules`, `problem` | what a caller asks |
//! | `engine` | memory that stays where it is from step to step |
//! | `create` | the handle, and what it tells of itself |
//! | `report` | which choice serves each stage, and why |
//! | `workspace` | what steps work in, and what stages found |
//! | `step` | a step's arrays |
//! | `stages`, `capture`, `accept` | a call for each stage |
//! | `host` | the stages on a CPU |

mod accept;
mod capture;
mod create;
mod engine;
mod host;
mod model;
mod problem;
mod report;
mod rules;
mod stages;
mod step;
mod workspace;

pub use self::{
    accept::*, capture::*, create::*, engine::*, model::*, problem::*, report::*, rules::*, stages::*,
    step::*, workspace::*,
};

const OPERATION: &str = "verifier";
