//! Bulk copies from global to shared memory, of any multiple of 16 bytes, started by one thread (sm_90 and later).
//!
//! A copy's bytes may be read by every thread that has waited for the phase of the [`Mbarrier`] on which it completes, and
//! by others behind them. Copies work through the asynchronous proxy: see [`fence`](super::fence).

use super::Mbarrier;
#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

/// Starts the copy of `bytes` bytes to the shared address `to` from the global address `from`. When they are there,
/// `mbarrier`'s phase has that many bytes less to wait for; some thread has it expect them in the same phase.
///
/// # PTX
/// `cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [to], [from], bytes, [mbarrier]`.
///
/// # Safety
/// Both addresses and `bytes` are multiples of 16, and `bytes` is not zero. `to` lies in the block's shared memory, and
/// nothing accesses those bytes until the phase has completed; every earlier access is ordered before, the writes with a
/// [proxy fence](super::fence::proxy_async) between. `from` lies in an allocation that outlives the launch, and that the
/// launch does not write there. `mbarrier` has been initialised, with [a fence](super::fence::mbarrier_init) behind.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn copy(to: u32, from: u64, bytes: u32, mbarrier: Mbarrier) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [{to}], [{from}], {bytes}, [{mbarrier}];",
            to = in(reg32) to, from = in(reg64) from, bytes = in(reg32) bytes, mbarrier = in(reg32) mbarrier.address(),
            options(nostack));
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::copy_bulk(to, from, bytes, mbarrier.address());
}
