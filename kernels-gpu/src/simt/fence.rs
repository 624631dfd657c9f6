//! Fences between the generic proxy, through which threads access memory, and the asynchronous one of bulk copies and of products of
//! warpgroups (sm_90 and later).

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

/// Orders bulk copies and [products](super::wgmma) that are started behind the fence after accesses of shared memory before it: those
/// of this thread, and of others that are ordered before. A bulk copy needs one between it and every write of its destination by a
/// thread, a product one between it and every write of its operands (by `cp.async`: behind the wait for it), on either side of
/// the barrier that orders the two.
///
/// # PTX
/// `fence.proxy.async.shared::cta`.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn proxy_async() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a fence has no operands; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("fence.proxy.async.shared::cta;", options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::fence_proxy_async();
}

/// Makes the [mbarriers](super::Mbarrier) that this thread has initialised visible to bulk copies that are ordered behind
/// the fence.
///
/// # PTX
/// `fence.mbarrier_init.release.cluster`.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn mbarrier_init() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a fence has no operands; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("fence.mbarrier_init.release.cluster;", options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::fence_mbarrier_init();
}
