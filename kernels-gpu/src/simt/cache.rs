//! Hints to the L2 cache (sm_80 and later). They change no result.

/// What the L2 cache is asked to do with the lines of an access.
#[derive(Clone, Copy)]
pub struct CachePolicy(#[cfg(target_arch = "nvptx64")] u64);

impl CachePolicy {
    /// Lines that are read once: they go first when the cache needs room.
    ///
    /// # PTX
    /// `createpolicy.fractional.L2::evict_first.b64 policy, 1.0`.
    #[inline(always)]
    #[must_use]
    pub fn evict_first() -> Self {
        #[cfg(target_arch = "nvptx64")]
        {
            let policy: u64;
            // SAFETY: registers only.
            unsafe {
                core::arch::asm!("createpolicy.fractional.L2::evict_first.b64 {p}, 1.0;", p = out(reg64) policy,
                    options(pure, nomem, nostack));
            }
            Self(policy)
        }
        #[cfg(not(target_arch = "nvptx64"))]
        Self()
    }

    /// The policy as instructions take it.
    #[cfg(target_arch = "nvptx64")]
    #[inline(always)]
    pub(super) fn bits(self) -> u64 {
        self.0
    }
}
