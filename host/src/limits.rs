//! What of a GPU bounds a launch, and what every launch's memory keeps to.

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
