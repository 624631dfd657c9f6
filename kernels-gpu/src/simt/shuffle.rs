//! Exchange of registers between the lanes of a warp. Shuffles do not order memory.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

/// The value of the lane whose number differs from this lane's by the bits of `mask`.
///
/// # PTX
/// `shfl.sync.bfly.b32 d, a, mask, 31, 0xffffffff`. All 32 lanes must take part.
#[inline(always)]
#[must_use]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn shuffle_xor(value: u32, mask: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let out: u32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("shfl.sync.bfly.b32 {d}, {a}, {m}, 31, 0xffffffff;",
                d = out(reg32) out, a = in(reg32) value, m = in(reg32) mask, options(pure, nomem, nostack));
        }
        out
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::shuffle_xor(value, mask)
}

/// The value of lane `source` (0 to 31).
///
/// # PTX
/// `shfl.sync.idx.b32 d, a, source, 31, 0xffffffff`. All 32 lanes must take part.
#[inline(always)]
#[must_use]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn shuffle_index(value: u32, source: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let out: u32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("shfl.sync.idx.b32 {d}, {a}, {s}, 31, 0xffffffff;",
                d = out(reg32) out, a = in(reg32) value, s = in(reg32) source, options(pure, nomem, nostack));
        }
        out
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::shuffle_index(value, source)
}

/// The value of the lane `delta` (0 to 31) below this one. Lanes below `delta` keep their own.
///
/// # PTX
/// `shfl.sync.up.b32 d, a, delta, 0, 0xffffffff`. All 32 lanes must take part.
#[inline(always)]
#[must_use]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn shuffle_up(value: u32, delta: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let out: u32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("shfl.sync.up.b32 {d}, {a}, {n}, 0, 0xffffffff;",
                d = out(reg32) out, a = in(reg32) value, n = in(reg32) delta, options(pure, nomem, nostack));
        }
        out
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::shuffle_up(value, delta)
}

/// [`shuffle_xor`] of a float's bits.
#[inline(always)]
#[must_use]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn shuffle_xor_f32(value: f32, mask: u32) -> f32 {
    f32::from_bits(shuffle_xor(value.to_bits(), mask))
}
