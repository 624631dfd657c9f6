//! Which heads score for a pair of models: what estimation by them costs on a device, and what is known of a choice.
//!
//! | file | what it holds |
//! |---|---|
//! | `step` | the verification step whose estimation is timed, as a verifier plans it |
//! | `parts` | the launches that it is made of |
//! | `cost` | their measured times |
//! | `judgement` | a choice on held-out prompts, next to other methods |
//! | `record` | all that a run found |
//! | `store` | the records beside a profile |
//! | `words` | head subsets in words |

mod cost;
mod judgement;
mod parts;
mod record;
mod step;
mod store;
mod words;

pub(crate) use cost::{MeasuredCost, Timing};
pub(crate) use judgement::{Example, Judgement};
pub(crate) use record::{HeadsRecord, Point, Searched, Step};
pub(crate) use step::StepShape;
pub(crate) use store::{put as put_record, read as read_records};
pub(crate) use words::spell;
