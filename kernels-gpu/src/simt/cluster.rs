//! Clusters: blocks that run together, meet at a barrier and reach each other's shared memory (sm_90 and later).
//!
//! A launch without clusters is one of clusters of one block.

use core::marker::PhantomData;

use super::Word;
#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

macro_rules! special_register {
    ($(#[$doc:meta])* $name:ident, $register:literal, $host:expr) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name() -> u32 {
            #[cfg(target_arch = "nvptx64")]
            {
                let value: u32;
                // SAFETY: reads a special register; no memory is touched.
                unsafe {
                    core::arch::asm!(concat!("mov.u32 {0}, ", $register, ";"), out(reg32) value,
                        options(pure, nomem, nostack));
                }
                value
            }
            #[cfg(not(target_arch = "nvptx64"))]
            $host
        }
    };
}

special_register!(
    /// Rank of the calling thread's block in its cluster. PTX `%cluster_ctarank`.
    rank, "%cluster_ctarank", ops::cluster_rank()
);
special_register!(
    /// Blocks of the cluster. PTX `%cluster_nctarank`.
    size, "%cluster_nctarank", ops::cluster_size()
);

/// Arrives at the cluster's barrier: what the thread did before is ordered before what any thread of the cluster does
/// behind the [`wait`] of the same phase.
///
/// # PTX
/// `barrier.cluster.arrive.release`. All lanes of the warp must reach it together, and all threads of the cluster
/// some time. Each arrival is followed by a [`wait`] before the next.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn arrive() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a barrier has no operands; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("barrier.cluster.arrive.release;", options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::cluster_arrive();
}

/// Arrives as [`arrive`] where `releases`, the same in all lanes of a warp. Elsewhere the arrival orders nothing by itself:
/// what the thread did before is ordered only where another thread releases it, as one does that meets this one in a
/// block's barrier before. Thus one warp can release what its whole block did, at the price of one fence.
///
/// # PTX
/// `fence.acq_rel.cluster` where `releases`, then `barrier.cluster.arrive.relaxed`: one instruction for all, since
/// barriers in two branches cost the assembler registers. As [`arrive`].
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn arrive_releasing(releases: bool) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a fence and a barrier have no operands; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("{{ .reg .pred %p; setp.ne.u32 %p, {r}, 0; @%p fence.acq_rel.cluster; }}",
            "barrier.cluster.arrive.relaxed;", r = in(reg32) releases as u32, options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    if releases {
        ops::cluster_arrive();
    } else {
        ops::cluster_arrive_relaxed();
    }
}

/// Waits until every thread of the cluster has arrived; see [`arrive`].
///
/// # PTX
/// `barrier.cluster.wait.acquire`. All lanes of the warp must reach it together, each having arrived.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn wait() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a barrier has no operands; memory is clobbered as it must be.
    unsafe {
        core::arch::asm!("barrier.cluster.wait.acquire;", options(nostack))
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::cluster_wait();
}

/// Waits until every thread of the cluster has arrived here: [`arrive`] and [`wait`].
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn sync() {
    #[cfg(target_arch = "nvptx64")]
    {
        arrive();
        wait();
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::cluster_sync();
}

/// The address in block `rank`'s shared memory of what lies at `address` in this block's.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub(super) fn map_to_block(address: u32, rank: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let mapped: u32;
        // SAFETY: computes an address; no memory is touched.
        unsafe {
            core::arch::asm!("mapa.shared::cluster.u32 {d}, {a}, {r};", d = out(reg32) mapped,
                a = in(reg32) address, r = in(reg32) rank, options(pure, nomem, nostack));
        }
        mapped
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::map_to_block(address, rank)
}

/// The address of an array of `T` in the shared memory of a block of the cluster (distributed shared memory); made by
/// [`Shared::of_block`](super::Shared::of_block).
///
/// A block may be reached once it is known to have started, and must be kept from ending: a [`sync`] before the first
/// access and one behind the last do both.
#[repr(transparent)]
pub struct Remote<T> {
    address: u32,
    item: PhantomData<T>,
}

impl<T> Clone for Remote<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Remote<T> {}

impl<T> Remote<T> {
    pub(super) const fn at(address: u32) -> Self {
        Self { address, item: PhantomData }
    }

    /// The address of the byte `offset` bytes behind the array's start.
    #[inline(always)]
    #[must_use]
    pub const fn byte(self, offset: u32) -> u32 {
        self.address + offset
    }
}

impl<T: Word> Remote<T> {
    /// Loads item `index`. PTX `ld.shared::cluster`.
    ///
    /// # Safety
    /// The item lies in the block's shared memory, and the array is aligned to the item's size. The block has started,
    /// and does not end before the load is performed.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn load(self, index: u32) -> T {
        // SAFETY: the caller's promise.
        unsafe { T::load_cluster(self.byte(index * T::BYTES as u32)) }
    }

    /// Stores item `index`. PTX `st.shared::cluster`.
    ///
    /// # Safety
    /// As [`Remote::load`], and nothing else accesses the item without synchronisation.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn store(self, index: u32, value: T) {
        // SAFETY: the caller's promise.
        unsafe { T::store_cluster(self.byte(index * T::BYTES as u32), value) }
    }
}
