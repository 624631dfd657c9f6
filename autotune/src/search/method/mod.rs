//! Methods: which point to try next. They see the space and the history, and never measure.

mod gaussian;
mod local;
mod random;
mod surrogate;

#[cfg(test)]
mod tests;

use clap::ValueEnum;

use super::{history::History, space::Space};

/// Chooses the points to try. A method keeps what it needs between its calls and reads results from the history, to
/// which others may have added too: seeds, or trials of an earlier run.
pub(crate) trait Method {
    /// The next point to try, never one that was tried; nothing once all were.
    fn ask(&mut self, space: &Space, history: &History) -> Option<usize>;
}

/// The methods by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodKind {
    /// A Gaussian process learns from the trials and guides moves around the best of them.
    Surrogate,
    /// Moves to a better neighbour until there is none, then starts anew.
    Local,
    /// Any point.
    Random,
}

impl MethodKind {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Surrogate => "surrogate",
            Self::Local => "local",
            Self::Random => "random",
        }
    }

    /// The method, whose choices follow from `seed` and the history alone.
    pub(crate) fn start(self, seed: u64) -> Box<dyn Method> {
        match self {
            Self::Surrogate => Box::new(surrogate::Surrogate::new(seed)),
            Self::Local => Box::new(local::Local::new(seed)),
            Self::Random => Box::new(random::Random::new(seed)),
        }
    }
}
