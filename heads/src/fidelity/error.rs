//! Why a candidate cannot be judged.

use dustin::InvalidInput;

use crate::calibration::CalibrationError;

/// Why nothing can be said of a set's fidelity.
#[derive(Debug, thiserror::Error)]
pub enum FidelityError {
    /// The capture cannot be used.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// The candidate is none, or is not one that this capture can judge.
    #[error(transparent)]
    InvalidInput(#[from] InvalidInput),
    /// The sets make no file.
    #[error("fidelity: the sets cannot be written ({0}); judge fewer prompts or steps")]
    Export(#[from] safetensors::SafeTensorError),
    /// Whoever watches wanted no more of it.
    #[error("fidelity: stopped before all prompts were read")]
    Stopped,
    /// The operating system refuses threads.
    #[error("fidelity: the CPU back end's threads cannot be started ({0}); ask for fewer")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// That `field` of a request is not as `required`.
pub(super) fn invalid(field: &'static str, required: impl ToString, actual: impl ToString) -> FidelityError {
    let (required, actual) = (required.to_string(), actual.to_string());
    InvalidInput { operation: "fidelity", field, required, actual }.into()
}
