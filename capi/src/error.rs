//! The errors of calls, each a sentence and a status.

use dustin::{InvalidInput, cuda::CudaError, geometry::ConfigError, profile::ProfileError};

use crate::status::dustin_status;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An argument is not as documented.
    #[error(transparent)]
    InvalidInput(#[from] InvalidInput),
    /// A handle that is none, or of another kind.
    #[error("{operation}: {field} must be a live {required} handle, but is {actual}")]
    Handle { operation: &'static str, field: &'static str, required: &'static str, actual: String },
    /// The CUDA back end's.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// A profile that is none.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A `config.json` that gives no geometry.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The operating system refuses threads.
    #[error("{operation}: {threads} threads cannot be started ({reason})")]
    Threads { operation: &'static str, threads: u32, reason: String },
}

impl Error {
    /// The code that the caller gets.
    pub(crate) fn status(&self) -> dustin_status {
        match self {
            Self::InvalidInput(_) => dustin_status::InvalidInput,
            Self::Handle { .. } => dustin_status::NoSuchHandle,
            Self::Cuda(error) => of_cuda(error),
            Self::Profile(ProfileError::Read { .. }) | Self::Config(ConfigError::Read { .. }) => {
                dustin_status::Io
            }
            Self::Profile(_) | Self::Config(_) => dustin_status::InvalidInput,
            Self::Threads { .. } => dustin_status::OutOfMemory,
        }
    }
}

fn of_cuda(error: &CudaError) -> dustin_status {
    match error {
        CudaError::LibraryMissing { .. }
        | CudaError::SymbolMissing { .. }
        | CudaError::DriverTooOld { .. }
        | CudaError::NoDevice => dustin_status::NoGpu,
        // A status word that nobody wrote is memory that was not initialised.
        CudaError::InvalidInput(_) | CudaError::StatusWord { .. } => dustin_status::InvalidInput,
        CudaError::OutOfMemory { .. } => dustin_status::OutOfMemory,
        CudaError::DeviceLost { .. } => dustin_status::DeviceLost,
        CudaError::PtxMissing { .. } | CudaError::PtxRejected { .. } | CudaError::Driver { .. } => {
            dustin_status::Driver
        }
    }
}

/// The error of `field`, which must be `required` but is `actual`.
pub(crate) fn invalid(
    operation: &'static str,
    field: &'static str,
    required: impl ToString,
    actual: impl ToString,
) -> InvalidInput {
    InvalidInput { operation, field, required: required.to_string(), actual: actual.to_string() }
}
