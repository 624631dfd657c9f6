//! What of a GPU bounds a launch, why points of a tuning space are left out, and what every launch's memory keeps to.

use dustin_kernels::registry::Target;

use crate::error::InvalidInput;

/// What of a GPU bounds a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceLimits {
    /// Compute capability, major.
    pub major: u32,
    /// Compute capability, minor.
    pub minor: u32,
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// The most shared memory that a block may opt in to, in bytes.
    pub shared_bytes_per_block: u32,
    /// The most threads in a block.
    pub threads_per_block: u32,
}

/// Bytes that a workspace, and each of its parts, is aligned to.
pub const WORKSPACE_ALIGNMENT: u64 = 256;

/// What keeps a point of a tuning space from being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    /// The GPU's compute capability.
    ComputeCapability,
    /// Shared memory of a block.
    SharedMemory,
    /// Threads of a block.
    Threads,
    /// Part of what it occupies would be idle, and another point does the same without.
    Idle,
    /// The problem, or the variant's own rules.
    Contract,
}

/// Why a point of a tuning space is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The GPU is too old, or another one than the target's.
    #[error("{target} does not run on compute capability {major}.{minor}")]
    ComputeCapability {
        /// The variant's target.
        target: &'static str,
        /// The GPU's compute capability, major.
        major: u32,
        /// The GPU's compute capability, minor.
        minor: u32,
    },
    /// A block needs more shared memory than the GPU gives it.
    #[error("needs {required} bytes of shared memory per block of {available}")]
    SharedMemory {
        /// Bytes needed.
        required: u32,
        /// Bytes that there are.
        available: u32,
    },
    /// A block has more threads than the GPU gives it.
    #[error("needs {required} threads per block of {available}")]
    Threads {
        /// Threads needed.
        required: u32,
        /// Threads that there are.
        available: u32,
    },
    /// Part of it would be idle.
    #[error("{0}")]
    Idle(String),
    /// It cannot serve the problem.
    #[error("{0}")]
    Contract(String),
}

impl Reason {
    /// What it is about.
    #[must_use]
    pub const fn bound(&self) -> Bound {
        match self {
            Self::ComputeCapability { .. } => Bound::ComputeCapability,
            Self::SharedMemory { .. } => Bound::SharedMemory,
            Self::Threads { .. } => Bound::Threads,
            Self::Idle(_) => Bound::Idle,
            Self::Contract(_) => Bound::Contract,
        }
    }
}

impl From<InvalidInput> for Reason {
    fn from(error: InvalidInput) -> Self {
        Self::Contract(error.to_string())
    }
}

impl DeviceLimits {
    /// Why PTX of this target does not run; nothing if it does.
    pub(crate) fn excludes(&self, target: Target) -> Option<Reason> {
        let Self { major, minor, .. } = *self;
        (!target.runs_on(major, minor)).then(|| Reason::ComputeCapability {
            target: target.name(),
            major,
            minor,
        })
    }

    /// Why a block of so many bytes of shared memory and threads cannot be launched; nothing if it can.
    pub(crate) fn exceeded(&self, shared_bytes: u32, threads: u32) -> Option<Reason> {
        if shared_bytes > self.shared_bytes_per_block {
            let available = self.shared_bytes_per_block;
            return Some(Reason::SharedMemory { required: shared_bytes, available });
        }
        let available = self.threads_per_block;
        (threads > available).then_some(Reason::Threads { required: threads, available })
    }
}
