//! Execution barriers. Each orders the memory accesses of the threads that take part.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

/// Waits until every thread of the block has arrived.
///
/// # PTX
/// `barrier.sync 0`. All threads of the block must reach it.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn block_sync() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a barrier has no operands; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("barrier.sync 0;", options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::block_sync();
}

/// [`block_sync`] of warps whose lanes arrive together, which lets the compiler keep them together before and behind it.
///
/// # PTX
/// `barrier.sync.aligned 0`. All threads of the block must reach it, the lanes of a warp at the same place.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn block_sync_aligned() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a barrier has no operands; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("barrier.sync.aligned 0;", options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    {
        // A vote orders nothing, but lanes that do not meet for it are reported.
        ops::ballot(true);
        ops::block_sync();
    }
}

/// Waits until `threads` threads of the block have arrived at barrier `id`.
///
/// # PTX
/// `barrier.sync id, threads`. `id` is 1 to 15 (0 is [`block_sync`]'s); `threads` is a multiple of 32.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn named_sync(id: u32, threads: u32) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a barrier touches no memory of its own; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("barrier.sync {id}, {threads};", id = in(reg32) id, threads = in(reg32) threads, options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::named_sync(id, threads);
}

/// Waits until every lane of the warp has arrived.
///
/// # PTX
/// `bar.warp.sync 0xffffffff`.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn warp_sync() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a barrier has no operands; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("bar.warp.sync 0xffffffff;", options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::warp_sync();
}
