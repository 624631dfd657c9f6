//! Votes of the lanes of a warp. They do not order memory.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

/// The lanes whose `predicate` holds, a bit each, lane 0 the lowest.
///
/// # PTX
/// `vote.sync.ballot.b32 d, predicate, 0xffffffff`. All 32 lanes must take part.
#[inline(always)]
#[must_use]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn ballot(predicate: bool) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let out: u32;
        // Inline assembly has no operands of one bit.
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("{{ .reg .pred %p; setp.ne.u32 %p, {a}, 0; vote.sync.ballot.b32 {d}, %p, 0xffffffff; }}",
                d = out(reg32) out, a = in(reg32) predicate as u32, options(pure, nomem, nostack));
        }
        out
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::ballot(predicate)
}
