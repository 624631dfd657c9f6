//! Asynchronous copies from global to shared memory, 16 bytes each (sm_80 and later).
//!
//! A copy's bytes may be read after the issuing thread has waited for its group, and by other threads after a
//! barrier behind that wait.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

use super::CachePolicy;

/// Starts the copy of 16 bytes to the shared address `to` from the global address `from`;
/// zeros are written instead, and nothing is read, unless `valid`.
///
/// # PTX
/// `cp.async.cg.shared.global [to], [from], 16, valid ? 16 : 0`.
///
/// # Safety
/// Both addresses are aligned to 16 bytes. `to` lies in the block's shared memory, and nothing accesses those
/// bytes until the copy has been waited for. If `valid`, `from` lies in an allocation that outlives the launch.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn copy_16(to: u32, from: u64, valid: bool) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("cp.async.cg.shared.global [{to}], [{from}], 16, {bytes};",
            to = in(reg32) to, from = in(reg64) from, bytes = in(reg32) if valid { 16u32 } else { 0 },
            options(nostack));
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::copy_async_16(to, from, valid);
}

/// [`copy_16`] with a hint to the L2 cache.
///
/// # PTX
/// `cp.async.cg.shared.global.L2::cache_hint [to], [from], 16, valid ? 16 : 0, policy`.
///
/// # Safety
/// As [`copy_16`].
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn copy_16_hinted(to: u32, from: u64, valid: bool, policy: CachePolicy) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("cp.async.cg.shared.global.L2::cache_hint [{to}], [{from}], 16, {bytes}, {policy};",
            to = in(reg32) to, from = in(reg64) from, bytes = in(reg32) if valid { 16u32 } else { 0 },
            policy = in(reg64) policy.bits(), options(nostack));
    }
    #[cfg(not(target_arch = "nvptx64"))]
    {
        let _ = policy;
        ops::copy_async_16(to, from, valid);
    }
}

/// Closes the group of copies that this thread has started since its last commit. PTX `cp.async.commit_group`.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn commit() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: closes a group; no memory is touched.
    unsafe {
        core::arch::asm!("cp.async.commit_group;", options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::copy_commit();
}

/// Waits until at most `PENDING` of this thread's youngest groups are still under way.
///
/// # PTX
/// `cp.async.wait_group PENDING`. Orders the copies for this thread alone: other threads need a barrier.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn wait<const PENDING: u32>() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: waits for this thread's copies; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("cp.async.wait_group {n};", n = const PENDING, options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::copy_wait(PENDING);
}

/// [`wait`] for a number of groups, 0 to 7, that is constant once inlined.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn wait_pending(pending: u32) {
    match pending {
        0 => wait::<0>(),
        1 => wait::<1>(),
        2 => wait::<2>(),
        3 => wait::<3>(),
        4 => wait::<4>(),
        5 => wait::<5>(),
        6 => wait::<6>(),
        _ => wait::<7>(),
    }
}
