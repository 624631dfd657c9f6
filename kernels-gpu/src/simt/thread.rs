//! Who am I: thread, block and grid coordinates (PTX special registers).

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

macro_rules! special_register {
    ($(#[$doc:meta])* $name:ident, $intrinsic:ident, $host:expr) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name() -> u32 {
            #[cfg(target_arch = "nvptx64")]
            // SAFETY: reads a special register; no memory is touched.
            return unsafe { core::arch::nvptx::$intrinsic() as u32 };
            #[cfg(not(target_arch = "nvptx64"))]
            $host
        }
    };
}

special_register!(
    /// Thread index in the block. PTX `%tid.x`.
    thread_index, _thread_idx_x, ops::thread_index()
);
special_register!(
    /// Block index along x. PTX `%ctaid.x`.
    block_x, _block_idx_x, ops::block_index(0)
);
special_register!(
    /// Block index along y. PTX `%ctaid.y`.
    block_y, _block_idx_y, ops::block_index(1)
);
special_register!(
    /// Block index along z. PTX `%ctaid.z`.
    block_z, _block_idx_z, ops::block_index(2)
);
special_register!(
    /// Blocks along x. PTX `%nctaid.x`.
    grid_x, _grid_dim_x, ops::grid_size(0)
);
special_register!(
    /// Blocks along y. PTX `%nctaid.y`.
    grid_y, _grid_dim_y, ops::grid_size(1)
);

/// `value`, which the compiler must take as unknown: a loop with such a bound stays a loop. Bodies that are large and run
/// once are kept from being unrolled so.
#[inline(always)]
#[must_use]
pub fn opaque(value: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let out: u32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("mov.u32 {0}, {1};", out(reg32) out, in(reg32) value, options(nomem, nostack))
        };
        out
    }
    #[cfg(not(target_arch = "nvptx64"))]
    value
}

/// Lane of the calling thread in its warp, for blocks of one dimension.
#[inline(always)]
#[must_use]
pub fn lane() -> u32 {
    thread_index() % super::WARP
}

/// Warp of the calling thread in its block, for blocks of one dimension.
#[inline(always)]
#[must_use]
pub fn warp() -> u32 {
    thread_index() / super::WARP
}

/// Ends the launch with an error. PTX `trap`.
#[cfg(target_arch = "nvptx64")]
pub(crate) fn trap() -> ! {
    // SAFETY: `trap` ends the launch.
    unsafe { core::arch::asm!("trap;", options(noreturn, nostack)) }
}
