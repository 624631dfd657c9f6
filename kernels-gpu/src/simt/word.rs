//! The values that move between registers and memory in one access.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

mod sealed {
    pub trait Sealed {}
}

/// A plain value that one instruction loads or stores: 2, 4, 8 or 16 bytes, aligned to its size.
pub trait Word: Copy + 'static + sealed::Sealed {
    /// Size and alignment in bytes.
    const BYTES: usize;

    /// # Safety
    /// `address` is a global address, aligned to [`Word::BYTES`], inside an allocation that outlives the launch.
    #[doc(hidden)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    unsafe fn load_global(address: u64) -> Self;

    /// # Safety
    /// As [`Word::load_global`], and nothing else accesses the address without synchronisation.
    #[doc(hidden)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    unsafe fn store_global(address: u64, value: Self);

    /// # Safety
    /// `address` is a shared address, aligned to [`Word::BYTES`], inside the block's shared memory.
    #[doc(hidden)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    unsafe fn load_shared(address: u32) -> Self;

    /// # Safety
    /// As [`Word::load_shared`], and nothing else accesses the address without synchronisation.
    #[doc(hidden)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    unsafe fn store_shared(address: u32, value: Self);

    /// # Safety
    /// `address` is a shared address, mapped to a block of the cluster, aligned to [`Word::BYTES`], inside that block's
    /// shared memory, while that block lives.
    #[doc(hidden)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    unsafe fn load_cluster(address: u32) -> Self;

    /// # Safety
    /// As [`Word::load_cluster`], and nothing else accesses the address without synchronisation.
    #[doc(hidden)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    unsafe fn store_cluster(address: u32, value: Self);

    /// The value whose little-endian bytes are `bytes`, [`Word::BYTES`] of them.
    #[cfg(not(target_arch = "nvptx64"))]
    fn from_bytes(bytes: &[u8]) -> Self;

    /// Writes the value's little-endian bytes into `bytes`, [`Word::BYTES`] of them.
    #[cfg(not(target_arch = "nvptx64"))]
    fn to_bytes(self, bytes: &mut [u8]);
}

/// The accesses of one word type: device instructions, and the executor on the host.
macro_rules! accesses {
    (device: $load_global:expr, $store_global:expr, $load_shared:expr, $store_shared:expr, $load_cluster:expr,
        $store_cluster:expr) => {
        #[inline(always)]
        #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
        unsafe fn load_global(address: u64) -> Self {
            #[cfg(target_arch = "nvptx64")]
            return $load_global(address);
            #[cfg(not(target_arch = "nvptx64"))]
            ops::load_global(address)
        }

        #[inline(always)]
        #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
        unsafe fn store_global(address: u64, value: Self) {
            #[cfg(target_arch = "nvptx64")]
            $store_global(address, value);
            #[cfg(not(target_arch = "nvptx64"))]
            ops::store_global(address, value);
        }

        #[inline(always)]
        #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
        unsafe fn load_shared(address: u32) -> Self {
            #[cfg(target_arch = "nvptx64")]
            return $load_shared(address);
            #[cfg(not(target_arch = "nvptx64"))]
            ops::load_shared(address)
        }

        #[inline(always)]
        #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
        unsafe fn store_shared(address: u32, value: Self) {
            #[cfg(target_arch = "nvptx64")]
            $store_shared(address, value);
            #[cfg(not(target_arch = "nvptx64"))]
            ops::store_shared(address, value);
        }

        #[inline(always)]
        #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
        unsafe fn load_cluster(address: u32) -> Self {
            #[cfg(target_arch = "nvptx64")]
            return $load_cluster(address);
            #[cfg(not(target_arch = "nvptx64"))]
            ops::load_cluster(address)
        }

        #[inline(always)]
        #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
        unsafe fn store_cluster(address: u32, value: Self) {
            #[cfg(target_arch = "nvptx64")]
            $store_cluster(address, value);
            #[cfg(not(target_arch = "nvptx64"))]
            ops::store_cluster(address, value);
        }
    };
}

macro_rules! scalar_word {
    ($ty:ty, $bytes:literal, $class:ident, $suffix:literal) => {
        impl sealed::Sealed for $ty {}
        impl Word for $ty {
            const BYTES: usize = $bytes;

            accesses!(device:
                |address: u64| {
                    let value: $ty;
                    // SAFETY: the caller's promise; a load changes nothing.
                    unsafe { core::arch::asm!(concat!("ld.global.", $suffix, " {v}, [{a}];"),
                        v = out($class) value, a = in(reg64) address, options(pure, readonly, nostack)) };
                    value
                },
                // SAFETY: the caller's promise.
                |address: u64, value: $ty| unsafe { core::arch::asm!(concat!("st.global.", $suffix, " [{a}], {v};"),
                    v = in($class) value, a = in(reg64) address, options(nostack)) },
                |address: u32| {
                    let value: $ty;
                    // SAFETY: the caller's promise; a load changes nothing.
                    unsafe { core::arch::asm!(concat!("ld.shared.", $suffix, " {v}, [{a}];"),
                        v = out($class) value, a = in(reg32) address, options(pure, readonly, nostack)) };
                    value
                },
                // SAFETY: the caller's promise.
                |address: u32, value: $ty| unsafe { core::arch::asm!(concat!("st.shared.", $suffix, " [{a}], {v};"),
                    v = in($class) value, a = in(reg32) address, options(nostack)) },
                |address: u32| {
                    let value: $ty;
                    // SAFETY: the caller's promise; a load changes nothing.
                    unsafe { core::arch::asm!(concat!("ld.shared::cluster.", $suffix, " {v}, [{a}];"),
                        v = out($class) value, a = in(reg32) address, options(pure, readonly, nostack)) };
                    value
                },
                // SAFETY: the caller's promise.
                |address: u32, value: $ty| unsafe {
                    core::arch::asm!(concat!("st.shared::cluster.", $suffix, " [{a}], {v};"),
                        v = in($class) value, a = in(reg32) address, options(nostack)) }
            );

            #[cfg(not(target_arch = "nvptx64"))]
            fn from_bytes(bytes: &[u8]) -> Self {
                let mut array = [0; $bytes];
                array.copy_from_slice(bytes);
                <$ty>::from_le_bytes(array)
            }

            #[cfg(not(target_arch = "nvptx64"))]
            fn to_bytes(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    };
}

scalar_word!(u16, 2, reg16, "b16");
scalar_word!(u32, 4, reg32, "b32");
scalar_word!(i32, 4, reg32, "b32");
scalar_word!(f32, 4, reg32, "b32");
scalar_word!(u64, 8, reg64, "b64");

impl sealed::Sealed for [u32; 4] {}
impl Word for [u32; 4] {
    const BYTES: usize = 16;

    accesses!(device:
        |address: u64| {
            let (x, y, z, w): (u32, u32, u32, u32);
            // SAFETY: the caller's promise; a load changes nothing.
            unsafe { core::arch::asm!("ld.global.v4.b32 {{ {x}, {y}, {z}, {w} }}, [{a}];",
                x = out(reg32) x, y = out(reg32) y, z = out(reg32) z, w = out(reg32) w,
                a = in(reg64) address, options(pure, readonly, nostack)) };
            [x, y, z, w]
        },
        |address: u64, [x, y, z, w]: [u32; 4]| {
            // SAFETY: the caller's promise.
            unsafe { core::arch::asm!("st.global.v4.b32 [{a}], {{ {x}, {y}, {z}, {w} }};",
                x = in(reg32) x, y = in(reg32) y, z = in(reg32) z, w = in(reg32) w,
                a = in(reg64) address, options(nostack)) }
        },
        |address: u32| {
            let (x, y, z, w): (u32, u32, u32, u32);
            // SAFETY: the caller's promise; a load changes nothing.
            unsafe { core::arch::asm!("ld.shared.v4.b32 {{ {x}, {y}, {z}, {w} }}, [{a}];",
                x = out(reg32) x, y = out(reg32) y, z = out(reg32) z, w = out(reg32) w,
                a = in(reg32) address, options(pure, readonly, nostack)) };
            [x, y, z, w]
        },
        |address: u32, [x, y, z, w]: [u32; 4]| {
            // SAFETY: the caller's promise.
            unsafe { core::arch::asm!("st.shared.v4.b32 [{a}], {{ {x}, {y}, {z}, {w} }};",
                x = in(reg32) x, y = in(reg32) y, z = in(reg32) z, w = in(reg32) w,
                a = in(reg32) address, options(nostack)) }
        },
        |address: u32| {
            let (x, y, z, w): (u32, u32, u32, u32);
            // SAFETY: the caller's promise; a load changes nothing.
            unsafe { core::arch::asm!("ld.shared::cluster.v4.b32 {{ {x}, {y}, {z}, {w} }}, [{a}];",
                x = out(reg32) x, y = out(reg32) y, z = out(reg32) z, w = out(reg32) w,
                a = in(reg32) address, options(pure, readonly, nostack)) };
            [x, y, z, w]
        },
        |address: u32, [x, y, z, w]: [u32; 4]| {
            // SAFETY: the caller's promise.
            unsafe { core::arch::asm!("st.shared::cluster.v4.b32 [{a}], {{ {x}, {y}, {z}, {w} }};",
                x = in(reg32) x, y = in(reg32) y, z = in(reg32) z, w = in(reg32) w,
                a = in(reg32) address, options(nostack)) }
        }
    );

    #[cfg(not(target_arch = "nvptx64"))]
    fn from_bytes(bytes: &[u8]) -> Self {
        core::array::from_fn(|i| u32::from_bytes(&bytes[4 * i..4 * i + 4]))
    }

    #[cfg(not(target_arch = "nvptx64"))]
    fn to_bytes(self, bytes: &mut [u8]) {
        for (word, chunk) in self.into_iter().zip(bytes.chunks_exact_mut(4)) {
            word.to_bytes(chunk);
        }
    }
}
