//! What can be said of profiles without a device: how two differ, and what several come to together.

mod band;
mod diff;
mod merge;

pub(crate) use band::band;
pub(crate) use diff::{Change, Diff, Line, Side, diff};
pub(crate) use merge::{Conflict, Merged, Source, merge};
