//! What can go wrong between the host and a CUDA device.

use std::fmt;

use crate::error::InvalidInput;

/// A CUDA version as the driver numbers it: `1000 · major + 10 · minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion(pub i32);

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

/// An error of the CUDA back end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// No driver library could be loaded.
    #[error("no CUDA driver: {names} could not be loaded ({reason})")]
    LibraryMissing {
        /// The file names tried.
        names: String,
        /// What the loader said of the first.
        reason: String,
    },
    /// The driver library lacks a function that is needed.
    #[error("the CUDA driver library lacks the function {symbol}; update the driver")]
    SymbolMissing {
        /// The function.
        symbol: &'static str,
    },
    /// The driver cannot run the kernels.
    #[error("the CUDA driver supports CUDA {actual}, but {required} is required; update the driver")]
    DriverTooOld {
        /// The lowest version that serves.
        required: CudaVersion,
        /// The driver's version.
        actual: CudaVersion,
    },
    /// The driver knows no device.
    #[error("the CUDA driver finds no device")]
    NoDevice,
    /// A request that can be refused before it reaches the driver.
    #[error(transparent)]
    InvalidInput(#[from] InvalidInput),
    /// The crate was built without the variant's PTX.
    #[error("{entry} has no PTX: the crate dustin-kernels was built without its feature `ptx`")]
    PtxMissing {
        /// The PTX entry.
        entry: &'static str,
    },
    /// The driver's compiler refused a variant's PTX.
    #[error("the driver cannot compile {entry} ({name}): {log}")]
    PtxRejected {
        /// The PTX entry.
        entry: &'static str,
        /// The driver's name of the error.
        name: String,
        /// The compiler's log.
        log: String,
    },
    /// A workspace's status word is neither 0 nor a fault.
    #[error(
        "workspace: the status word must be 0 or a word that a launch wrote, but is {word:#x}; initialise the workspace"
    )]
    StatusWord {
        /// The word.
        word: u64,
    },
    /// The device has not enough free memory.
    #[error("the device has no room for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The device or the context is unusable from here on, for every user of the context in this process.
    #[error("{call}: the context is lost ({name}, code {code}); only a new process can use the device again")]
    DeviceLost {
        /// The driver's function that reported it: often a later one than the culprit, since launches are
        /// asynchronous.
        call: &'static str,
        /// The driver's code.
        code: i32,
        /// The driver's name of the code.
        name: String,
    },
    /// Any other error that the driver returned.
    #[error("{call} failed: {name} (code {code})")]
    Driver {
        /// The driver's function.
        call: &'static str,
        /// The driver's code.
        code: i32,
        /// The driver's name of the code.
        name: String,
    },
}

/// Codes after which the driver refuses all further work in the context. Numbers, since a driver may return codes
/// that the bindings do not know.
const FATAL: &[i32] = &[
    46,  // CUDA_ERROR_DEVICE_UNAVAILABLE
    214, // CUDA_ERROR_ECC_UNCORRECTABLE
    220, // CUDA_ERROR_NVLINK_UNCORRECTABLE
    226, // CUDA_ERROR_CONTAINED
    700, // CUDA_ERROR_ILLEGAL_ADDRESS
    702, // CUDA_ERROR_LAUNCH_TIMEOUT
    709, // CUDA_ERROR_CONTEXT_IS_DESTROYED
    710, // CUDA_ERROR_ASSERT
    714, // CUDA_ERROR_HARDWARE_STACK_ERROR
    715, // CUDA_ERROR_ILLEGAL_INSTRUCTION
    716, // CUDA_ERROR_MISALIGNED_ADDRESS
    717, // CUDA_ERROR_INVALID_ADDRESS_SPACE
    718, // CUDA_ERROR_INVALID_PC
    719, // CUDA_ERROR_LAUNCH_FAILED
];

impl CudaError {
    /// The error of a driver's `code`, called `name`, that `call` returned.
    pub(super) fn from_code(call: &'static str, code: i32, name: String) -> Self {
        if FATAL.contains(&code) {
            Self::DeviceLost { call, code, name }
        } else {
            Self::Driver { call, code, name }
        }
    }

    /// Whether the driver returned `code`.
    pub(super) fn has_code(&self, code: i32) -> bool {
        matches!(self, Self::Driver { code: actual, .. } | Self::DeviceLost { code: actual, .. } if *actual == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_as_major_and_minor() {
        assert_eq!(CudaVersion(11_040).to_string(), "11.4");
        assert_eq!(CudaVersion(13_000).to_string(), "13.0");
    }

    #[test]
    fn an_illegal_address_means_that_the_context_is_lost() {
        let error = CudaError::from_code("cuStreamSynchronize", 700, "CUDA_ERROR_ILLEGAL_ADDRESS".into());
        assert!(matches!(error, CudaError::DeviceLost { code: 700, .. }), "{error}");
        let error = CudaError::from_code("cuLaunchKernelEx", 1, "CUDA_ERROR_INVALID_VALUE".into());
        assert!(matches!(error, CudaError::Driver { code: 1, .. }), "{error}");
    }
}
