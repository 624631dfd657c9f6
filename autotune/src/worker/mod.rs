//! The worker: a process of its own that holds the device, so that nothing that a candidate does ends the search.
//!
//! | file | what it holds |
//! |---|---|
//! | `protocol` | what is said between the two: a line of JSON each |
//! | `serve` | the worker's side |
//! | `process` | a running worker, and how it may end |
//! | `supervisor` | a device's worker, and how it is replaced |
//! | `bench` | the [`Bench`](crate::search::Bench) that a worker runs, with candidates in quarantine |
//! | `fault` | faults to be found, for tests of all this |

mod bench;
mod fault;
mod process;
mod protocol;
mod serve;
mod supervisor;

pub(crate) use fault::Harm;
pub(crate) use protocol::Opened;
pub(crate) use serve::serve;
pub(crate) use supervisor::Supervisor;
