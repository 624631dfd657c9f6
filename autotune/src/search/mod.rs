//! The search: every candidate checked and screened, successive halving and a race in interleaved rounds among the best, the
//! default replaced only after a paired run-off, and nobody chosen who is not right as it is timed.
//!
//! The engine sees a problem only through [`Bench`], so a fake oracle can stand in for a device. A candidate that
//! fails is a recorded fact; only a lost device ends a search.

mod bench;
mod conditions;
mod confirm;
mod course;
mod engine;
mod history;
mod method;
mod outcome;
mod race;
mod space;
mod statistics;
mod verdict;

#[cfg(test)]
mod tests;

pub(crate) use bench::{Bench, Candidate, Failure, Field, Resources, believed, bursts, is_time};
pub(crate) use conditions::{Conditions, Steadiness};
pub(crate) use confirm::{RunOff, run_off};
pub(crate) use course::Course;
pub(crate) use engine::{Confirmed, Settings, Stage, Surroundings, search};
pub(crate) use history::History;
pub(crate) use method::MethodKind;
pub(crate) use outcome::{Ending, Outcome, SearchError, Status};
pub(crate) use race::{Entrant, Race};
pub(crate) use space::{Space, Value};
pub(crate) use statistics::{Estimate, median};
pub(crate) use verdict::{ABSOLUTE_BAND, RELATIVE_BAND};
