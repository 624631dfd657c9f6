//! Launches that overlap (programmatic dependent launch, sm_90 and later).
//!
//! A launch that has been allowed to may start while the one before it in the stream still runs: then it can have done what it
//! needs nothing of that one for.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

/// Lets the next launch start, where it may overlap this one, once every block of this one has said so or has ended. It orders
/// nothing.
///
/// # PTX
/// `griddepcontrol.launch_dependents`.
#[inline(always)]
pub fn launch_dependents() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: no memory is touched.
    unsafe {
        core::arch::asm!("griddepcontrol.launch_dependents;", options(nostack))
    }
}

/// Waits until the launch before has ended, where this one may overlap it, and sees what that wrote. Who has not waited, and is
/// not ordered behind somebody who has, neither reads what the launch before writes nor writes what it accesses. If that launch
/// overlaps the one before it, it waits, too: else its end says nothing of that one.
///
/// # PTX
/// `griddepcontrol.wait`.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn wait() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: waits; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("griddepcontrol.wait;", options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::grid_wait();
}
