//! Warp-wide loads of 8x8 matrices of 16-bit items from shared memory into matrix fragments.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

/// Loads four 8x8 matrices. Lane `8 m + r` names the shared address of row `r` of matrix `m` (16 bytes);
/// lane `l` receives of each matrix items `2 (l % 4)` and `2 (l % 4) + 1` of row `l / 4`, low half first.
///
/// # PTX
/// `ldmatrix.sync.aligned.m8n8.x4.shared.b16`.
///
/// # Safety
/// All 32 lanes take part; each row lies in the block's shared memory and is aligned to 16 bytes.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn load_x4(row: u32) -> [u32; 4] {
    #[cfg(target_arch = "nvptx64")]
    {
        let (a, b, c, d): (u32, u32, u32, u32);
        // SAFETY: the caller's promise; a load changes nothing.
        unsafe {
            core::arch::asm!("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{ {a}, {b}, {c}, {d} }}, [{row}];",
                a = out(reg32) a, b = out(reg32) b, c = out(reg32) c, d = out(reg32) d, row = in(reg32) row,
                options(pure, readonly, nostack));
        }
        [a, b, c, d]
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::ldmatrix_x4(row, false)
}

/// [`load_x4`] of the transposed matrices: lane `l` receives of each matrix items `l / 4` of rows
/// `2 (l % 4)` and `2 (l % 4) + 1`, low half first.
///
/// # PTX
/// `ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16`.
///
/// # Safety
/// As [`load_x4`].
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn load_x4_transposed(row: u32) -> [u32; 4] {
    #[cfg(target_arch = "nvptx64")]
    {
        let (a, b, c, d): (u32, u32, u32, u32);
        // SAFETY: the caller's promise; a load changes nothing.
        unsafe {
            core::arch::asm!("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {{ {a}, {b}, {c}, {d} }}, [{row}];",
                a = out(reg32) a, b = out(reg32) b, c = out(reg32) c, d = out(reg32) d, row = in(reg32) row,
                options(pure, readonly, nostack));
        }
        [a, b, c, d]
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::ldmatrix_x4(row, true)
}

/// Two transposed 8x8 matrices: as [`load_x4_transposed`] for matrices 0 and 1. Lanes 0 to 15 name the rows; what
/// the others name is ignored, and must be valid all the same.
///
/// # PTX
/// `ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16`.
///
/// # Safety
/// As [`load_x4`].
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub unsafe fn load_x2_transposed(row: u32) -> [u32; 2] {
    #[cfg(target_arch = "nvptx64")]
    {
        let (a, b): (u32, u32);
        // SAFETY: the caller's promise; a load changes nothing.
        unsafe {
            core::arch::asm!("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {{ {a}, {b} }}, [{row}];",
                a = out(reg32) a, b = out(reg32) b, row = in(reg32) row, options(pure, readonly, nostack));
        }
        [a, b]
    }
    #[cfg(not(target_arch = "nvptx64"))]
    ops::ldmatrix_x2(row, true)
}
