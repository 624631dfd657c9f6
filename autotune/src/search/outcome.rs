//! What a search comes to.

use super::statistics::Estimate;

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Status {
    /// The search ended before its turn.
    Untried,
    /// It cannot serve the problem, for this reason.
    Rejected(String),
    /// Slow when it was checked, or in its first repetition: that time, in microseconds.
    Pruned(f64),
    /// Its screened median, in microseconds.
    Screened(f64),
    /// Its estimate over those rounds of the finals that it was part of.
    Finalist(Estimate),
}

impl Status {
    /// What is known of its time, in microseconds.
    pub(crate) fn time(&self) -> Option<f64> {
        match self {
            Self::Untried | Self::Rejected(_) => None,
            Self::Pruned(time) | Self::Screened(time) => Some(*time),
            Self::Finalist(estimate) => Some(estimate.median),
        }
    }
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every candidate, or as many as were wanted, had its turn.
    Complete,
    /// The budget ran out.
    Budget,
    /// The user stopped it.
    Interrupted,
}

/// The result of a search.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// What became of each candidate.
    pub(crate) statuses: Vec<Status>,
    /// The choice.
    pub(crate) chosen: usize,
    /// Its time.
    pub(crate) time: Estimate,
    /// The default's time; nothing if the default cannot serve the problem.
    pub(crate) default_time: Option<Estimate>,
    /// Candidates that cannot be told from the fastest, in the order in which ties are broken.
    pub(crate) tied: Vec<usize>,
    /// Width of the tie band, in microseconds.
    pub(crate) band: f64,
    /// Why the search ended.
    pub(crate) ending: Ending,
    /// Rounds that were not counted, each with what was wrong with the device.
    pub(crate) discarded: Vec<String>,
    /// Rounds that were counted although something was.
    pub(crate) unsteady: Vec<String>,
}

impl Outcome {
    /// The candidate of the least time, and that time in microseconds.
    pub(crate) fn fastest(&self) -> Option<(usize, f64)> {
        let times = self.statuses.iter().enumerate();
        let times = times.filter_map(|(candidate, status)| Some((candidate, status.time()?)));
        times.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Why a search has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// Nothing served the problem.
    #[error(
        "none of the {tried} candidates tried serves the problem; the first failed because {reason}: report this \
         with the output of `autotune plan`"
    )]
    NoneServes {
        /// Candidates tried.
        tried: usize,
        /// Why the first of them failed.
        reason: String,
    },
    /// The search was stopped before any candidate was timed.
    #[error("the search was stopped before any candidate was timed: give it a longer --budget")]
    NothingTimed,
    /// Nothing more can be measured.
    #[error("{0}; run the command again, with --resume if it was tuning: what was measured is kept")]
    Device(String),
}
