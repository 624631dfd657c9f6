//! The journal: every check and every time of a tuning run, written before the search goes on.
//!
//! It lies beside the profile, one line of JSON for each record, and only grows. What a run that was cut off has measured is
//! measured for good: `tune --resume` takes it from here, as long as device, driver, build, problem, inputs and candidate are
//! the same to the last field.
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | what a line says |
//! | `file`, `sync` | appending lines, and reading them after whatever has happened; syncing them beside the search |
//! | `sittings` | what is known of each problem of the run that is resumed |
//! | `bench` | the [`Bench`](crate::search::Bench) that remembers |

mod bench;
mod file;
mod record;
mod sittings;
mod sync;

#[cfg(test)]
mod tests;

pub(crate) use bench::Journaled;
pub(crate) use file::{Held, Journal, path};
pub(crate) use record::{Purpose, Record, Subject};
