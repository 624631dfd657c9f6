//! Why a search ends without a result.

use dustin::InvalidInput;

use crate::fidelity::FidelityError;

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The space, the start or another figure of the request is impossible on this capture.
    #[error(transparent)]
    InvalidInput(#[from] InvalidInput),
    /// A candidate cannot be judged.
    #[error(transparent)]
    Fidelity(#[from] FidelityError),
    /// What a candidate costs cannot be told.
    #[error("head search: the estimation time of {rules} cannot be told ({source})")]
    Cost {
        /// The candidate, in few words.
        rules: String,
        /// What the cost says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Shares have nothing to be shares of.
    #[error(
        "head search: full-head estimation recovers nothing on the searched prompts; shares of it mean nothing"
    )]
    NothingRecovered,
}

/// That `field` of a request is not as `required`.
pub(super) fn invalid(field: &'static str, required: impl ToString, actual: impl ToString) -> SearchError {
    let (required, actual) = (required.to_string(), actual.to_string());
    InvalidInput { operation: "head search", field, required, actual }.into()
}
