//! Replay: the search on recorded spaces, without a device. It sees only the times that it draws; what it chose is
//! scored by the medians of all times on record.

mod journal;
mod recording;
mod run;
mod summary;

#[cfg(test)]
mod tests;

pub(crate) use recording::Recording;
pub(crate) use run::Measuring;
pub(crate) use summary::{Series, Summary};
