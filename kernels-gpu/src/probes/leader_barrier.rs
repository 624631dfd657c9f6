//! Leader-only section, barrier, leader-only section.
//!
//! rustc's jump threading duplicated the barrier into the two arms of `if thread == 0`, and inline assembly that is
//! not marked convergent may be duplicated by LLVM too. The two copies then wait for each other for ever, or let
//! threads pass that must wait (rust-lang/rust#137086). The PTX of this probe must hold exactly two barriers.

use crate::simt::{Global, Shared, barrier, thread};

/// Name of the entry.
pub const NAME: &str = "probe_leader_barrier";
/// Threads in the block.
pub const THREADS: u32 = 128;
/// Shared memory in bytes.
pub const SHARED_BYTES: u32 = 16;
/// Barriers in the source.
pub const BARRIERS: usize = 2;

/// Writes `3 · seed + 1 + thread` to item `thread` of `output`, through two leader-only sections.
///
/// # Safety
/// `output` holds [`THREADS`] items.
#[inline(always)]
pub unsafe fn leader_barrier(seed: u32, output: Global<u32>) {
    let cell = Shared::<u32>::at(0);
    let leader = thread::thread_index() == 0;
    if leader {
        // SAFETY: item 0 and 1 lie in the 16 bytes of the block.
        unsafe { cell.store(0, 3 * seed) };
    }
    barrier::block_sync();
    if leader {
        // SAFETY: as above; the leader alone touches item 1 before the next barrier.
        unsafe { cell.store(1, cell.load(0) + 1) };
    }
    barrier::block_sync();
    // SAFETY: the caller's promise.
    unsafe { output.store(u64::from(thread::thread_index()), cell.load(1) + thread::thread_index()) };
}

#[cfg(target_arch = "nvptx64")]
#[unsafe(no_mangle)]
unsafe extern "ptx-kernel" fn probe_leader_barrier(seed: u32, output: Global<u32>) {
    // SAFETY: the launch's promise.
    unsafe { leader_barrier(seed, output) }
}

/// The probe's PTX.
#[cfg(all(not(target_arch = "nvptx64"), feature = "ptx"))]
pub const PTX: &str = include_str!("../../ptx/probe_leader_barrier.ptx");
