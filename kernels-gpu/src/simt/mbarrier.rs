//! mbarriers: barriers in shared memory that threads arrive at and wait for apart, and that count the bytes of bulk
//! copies (sm_90 and later).
//!
//! An mbarrier goes through phases, numbered from 0. A phase completes when as many threads have arrived as the mbarrier
//! was initialised for, and all bytes that they have it expect have been copied. Who waits names a phase by its
//! parity: of two phases one is under way and the other one is the last that has completed.

use super::shared;
#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

/// The address of an mbarrier in the block's shared memory.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Mbarrier {
    address: u32,
}

impl Mbarrier {
    /// Bytes of an mbarrier, and its alignment.
    pub const BYTES: u32 = 8;

    /// The mbarrier that starts `offset` bytes into the block's dynamic shared memory.
    #[inline(always)]
    #[must_use]
    pub fn at(offset: u32) -> Self {
        Self { address: shared::dynamic_base() + offset }
    }

    /// The shared address.
    #[inline(always)]
    #[must_use]
    pub const fn address(self) -> u32 {
        self.address
    }

    /// Makes the bytes an mbarrier in phase 0, whose phases `arrivals` (1 to 1,048,575) arrivals complete. Other threads
    /// may use it behind a barrier, bulk copies behind [a fence](super::fence::mbarrier_init) too.
    ///
    /// # PTX
    /// `mbarrier.init.shared::cta.b64`.
    ///
    /// # Safety
    /// The address is a multiple of [`Mbarrier::BYTES`] in the block's shared memory. No mbarrier is there, and nothing
    /// else accesses the bytes until it is [invalidated](Mbarrier::inval).
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn init(self, arrivals: u32) {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: the caller's promise.
        unsafe {
            core::arch::asm!("mbarrier.init.shared::cta.b64 [{a}], {n};",
                a = in(reg32) self.address, n = in(reg32) arrivals, options(nostack));
        }
        #[cfg(not(target_arch = "nvptx64"))]
        ops::mbarrier_init(self.address, arrivals);
    }

    /// Makes the mbarrier's bytes plain memory again. PTX `mbarrier.inval.shared::cta.b64`.
    ///
    /// # Safety
    /// It has been initialised, and nobody uses it any more.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn inval(self) {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: the caller's promise.
        unsafe {
            core::arch::asm!("mbarrier.inval.shared::cta.b64 [{a}];", a = in(reg32) self.address, options(nostack));
        }
        #[cfg(not(target_arch = "nvptx64"))]
        ops::mbarrier_inval(self.address);
    }

    /// Arrives: what the thread did before is ordered before what others do behind a [`wait`](Mbarrier::wait) for the phase.
    ///
    /// # PTX
    /// `mbarrier.arrive.release.cta.shared::cta.b64`.
    ///
    /// # Safety
    /// The mbarrier has been initialised, and the phase lacks an arrival.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn arrive(self) {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: the caller's promise.
        unsafe {
            core::arch::asm!("mbarrier.arrive.release.cta.shared::cta.b64 {state}, [{a}];",
                state = out(reg64) _, a = in(reg32) self.address, options(nostack));
        }
        #[cfg(not(target_arch = "nvptx64"))]
        ops::mbarrier_arrive(self.address, 0);
    }

    /// Has the phase wait for `bytes` bytes of bulk copies more, and [arrives](Mbarrier::arrive).
    ///
    /// # PTX
    /// `mbarrier.arrive.expect_tx.release.cta.shared::cta.b64`.
    ///
    /// # Safety
    /// As [`Mbarrier::arrive`]. No more than 1,048,575 bytes are outstanding.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn arrive_expect_tx(self, bytes: u32) {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: the caller's promise.
        unsafe {
            core::arch::asm!("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 {state}, [{a}], {n};",
                state = out(reg64) _, a = in(reg32) self.address, n = in(reg32) bytes, options(nostack));
        }
        #[cfg(not(target_arch = "nvptx64"))]
        ops::mbarrier_arrive(self.address, bytes);
    }

    /// Waits until the phase of this parity (its number modulo 2) has completed. Of a fresh mbarrier phase 0 is under way,
    /// and a phase of parity 1 counts as complete.
    ///
    /// # PTX
    /// `mbarrier.try_wait.parity.acquire.cta.shared::cta.b64`, until it says so.
    ///
    /// # Safety
    /// The mbarrier has been initialised. The phase after the one that is waited for does not complete before the thread
    /// has passed.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn wait(self, parity: u32) {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: the caller's promise.
        while !unsafe { self.try_wait(parity) } {}
        #[cfg(not(target_arch = "nvptx64"))]
        ops::mbarrier_wait(self.address, parity);
    }

    /// Waits for a time that the hardware chooses; whether the phase has completed.
    ///
    /// # Safety
    /// As [`Mbarrier::wait`].
    #[cfg(target_arch = "nvptx64")]
    #[inline(always)]
    unsafe fn try_wait(self, parity: u32) -> bool {
        let complete: u32;
        // Inline assembly has no operands of one bit.
        // SAFETY: the caller's promise.
        unsafe {
            core::arch::asm!(
                "{{ .reg .pred %p; mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p, [{a}], {parity}; \
                 selp.u32 {complete}, 1, 0, %p; }}",
                a = in(reg32) self.address, parity = in(reg32) parity, complete = out(reg32) complete,
                options(nostack));
        }
        complete != 0
    }
}
