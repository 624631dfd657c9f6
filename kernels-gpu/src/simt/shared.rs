//! Shared memory: typed 32-bit addresses into the block's dynamic shared memory.

use core::marker::PhantomData;

use super::{Remote, Word, cluster};

#[cfg(target_arch = "nvptx64")]
core::arch::global_asm!(".extern .shared .align 1024 .b8 dynsmem[];");

/// The address of an array of `T` in the block's shared memory.
#[repr(transparent)]
pub struct Shared<T> {
    address: u32,
    item: PhantomData<T>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

/// The address of the block's dynamic shared memory, aligned to 1024 bytes: see [`wgmma`](super::wgmma).
#[inline(always)]
pub(super) fn dynamic_base() -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let base: u32;
        // SAFETY: names the symbol declared above; no memory is touched.
        unsafe { core::arch::asm!("mov.u32 {0}, dynsmem;", out(reg32) base, options(pure, nomem, nostack)) };
        base
    }
    #[cfg(not(target_arch = "nvptx64"))]
    0
}

impl<T> Shared<T> {
    /// The array that starts `offset` bytes into the block's dynamic shared memory.
    #[inline(always)]
    #[must_use]
    pub fn at(offset: u32) -> Self {
        Self { address: dynamic_base() + offset, item: PhantomData }
    }

    /// The address of the byte `offset` bytes behind the array's start.
    #[inline(always)]
    #[must_use]
    pub const fn byte(self, offset: u32) -> u32 {
        self.address + offset
    }
}

impl<T> Shared<T> {
    /// The same array in the shared memory of block `rank` of the cluster. PTX `mapa.shared::cluster.u32`.
    #[inline(always)]
    #[must_use]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub fn of_block(self, rank: u32) -> Remote<T> {
        Remote::at(cluster::map_to_block(self.address, rank))
    }
}

impl<T: Word> Shared<T> {
    /// Loads item `index`. PTX `ld.shared`.
    ///
    /// # Safety
    /// The item lies in the block's shared memory, and the array is aligned to the item's size.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn load(self, index: u32) -> T {
        // SAFETY: the caller's promise.
        unsafe { T::load_shared(self.byte(index * T::BYTES as u32)) }
    }

    /// Stores item `index`. PTX `st.shared`.
    ///
    /// # Safety
    /// As [`Shared::load`], and nothing else accesses the item without synchronisation.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn store(self, index: u32, value: T) {
        // SAFETY: the caller's promise.
        unsafe { T::store_shared(self.byte(index * T::BYTES as u32), value) }
    }
}
