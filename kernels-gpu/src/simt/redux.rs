//! Reductions over the lanes of a warp (sm_80 and later). They do not order memory.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

/// The sum of `value` over the lanes, modulo 2^32.
///
/// # PTX
/// `redux.sync.add.u32 d, value, 0xffffffff`. All 32 lanes must take part.
#[inline(always)]
#[must_use]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn reduce_add(value: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let out: u32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("redux.sync.add.u32 {d}, {a}, 0xffffffff;",
                d = out(reg32) out, a = in(reg32) value, options(pure, nomem, nostack));
        }
        out
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::reduce_add(value)
}

/// The greatest `value` of the lanes.
///
/// # PTX
/// `redux.sync.max.u32 d, value, 0xffffffff`. All 32 lanes must take part.
#[inline(always)]
#[must_use]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn reduce_max(value: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let out: u32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("redux.sync.max.u32 {d}, {a}, 0xffffffff;",
                d = out(reg32) out, a = in(reg32) value, options(pure, nomem, nostack));
        }
        out
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::reduce_max(value)
}
