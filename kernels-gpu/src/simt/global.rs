//! Global memory: typed 64-bit addresses.

use core::marker::PhantomData;

use super::Word;

/// The address of an array of `T` in global memory. Holding one promises nothing; using one is `unsafe`.
#[repr(transparent)]
pub struct Global<T> {
    address: u64,
    item: PhantomData<T>,
}

impl<T> Clone for Global<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Global<T> {}

impl<T> core::fmt::Debug for Global<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Global({:#x})", self.address)
    }
}

impl<T> Global<T> {
    /// No array. Kernels test optional arguments with [`Global::is_null`].
    pub const NULL: Self = Self::at(0);

    /// The array that starts at `address`.
    #[inline(always)]
    #[must_use]
    pub const fn at(address: u64) -> Self {
        Self { address, item: PhantomData }
    }

    /// Whether there is no array.
    #[inline(always)]
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.address == 0
    }

    /// The address in bytes.
    #[inline(always)]
    #[must_use]
    pub const fn address(self) -> u64 {
        self.address
    }
}

impl Global<u16> {
    /// The same array as words of eight items; it must be aligned to 16 bytes where it is accessed so.
    #[inline(always)]
    #[must_use]
    pub const fn words(self) -> Global<[u32; 4]> {
        Global::at(self.address)
    }

    /// The same array as pairs of items, the first in the low half; it must be aligned to 4 bytes where it is accessed so.
    #[inline(always)]
    #[must_use]
    pub const fn pairs(self) -> Global<u32> {
        Global::at(self.address)
    }
}

impl Global<f32> {
    /// Stores items `index` and `index + 1`. PTX `st.global.v2.b32`.
    ///
    /// # Safety
    /// As [`Global::store`], for both; the first is aligned to 8 bytes.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn store_pair(self, index: u64, [low, high]: [f32; 2]) {
        #[cfg(target_arch = "nvptx64")]
        // SAFETY: the caller's promise.
        unsafe {
            core::arch::asm!("st.global.v2.b32 [{a}], {{ {x}, {y} }};", a = in(reg64) self.item(index),
                x = in(reg32) low, y = in(reg32) high, options(nostack));
        }
        #[cfg(not(target_arch = "nvptx64"))]
        // SAFETY: the caller's promise.
        unsafe {
            let pair = u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32;
            u64::store_global(self.item(index), pair);
        }
    }
}

impl<T: Word> Global<T> {
    /// The address of item `index`.
    #[inline(always)]
    #[must_use]
    pub const fn item(self, index: u64) -> u64 {
        self.address.wrapping_add(index.wrapping_mul(T::BYTES as u64))
    }

    /// Loads item `index`. PTX `ld.global`.
    ///
    /// # Safety
    /// The item lies in an allocation that outlives the launch, and the array is aligned to the item's size.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn load(self, index: u64) -> T {
        // SAFETY: the caller's promise.
        unsafe { T::load_global(self.item(index)) }
    }

    /// Stores item `index`. PTX `st.global`.
    ///
    /// # Safety
    /// As [`Global::load`], and nothing else accesses the item without synchronisation.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    pub unsafe fn store(self, index: u64, value: T) {
        // SAFETY: the caller's promise.
        unsafe { T::store_global(self.item(index), value) }
    }
}
