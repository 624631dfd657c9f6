//! Small kernels that guard the compiler: each shows a fault that was met, and that must not come back.

pub mod leader_barrier;

#[cfg(not(target_arch = "nvptx64"))]
use crate::registry::{Entry, Target};

/// The probes' PTX entries.
#[cfg(not(target_arch = "nvptx64"))]
pub(crate) const ENTRIES: &[Entry] = &[Entry {
    name: leader_barrier::NAME,
    target: Target::Sm80,
    threads: leader_barrier::THREADS,
    blocks: 1,
    shared_bytes: leader_barrier::SHARED_BYTES,
}];
