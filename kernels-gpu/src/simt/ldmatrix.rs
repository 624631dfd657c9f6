//! Warp-wide loads of 8x8 matrices of 16-bit items from shared memory into matrix fragments.

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

macro_rules! load {
    ($(#[$doc:meta])* $name:ident, $count:literal, $shape:literal, $list:literal, [$($word:ident)+], $host:ident($transposed:literal)) => {
        $(#[$doc])*
        #[doc = concat!("\n\n# PTX\n`ldmatrix.sync.aligned.m8n8.", $shape, ".shared.b16`.\n\n# Safety\n",
            "All 32 lanes take part; each row lies in the block's shared memory and is aligned to 16 bytes.")]
        #[inline(always)]
        #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
        pub unsafe fn $name(row: u32) -> [u32; $count] {
            #[cfg(target_arch = "nvptx64")]
            {
                $(let $word: u32;)+
                // SAFETY: the caller's promise; a load changes nothing.
                unsafe {
                    core::arch::asm!(concat!("ldmatrix.sync.aligned.m8n8.", $shape, ".shared.b16 ", $list, ", [{row}];"),
                        $($word = out(reg32) $word,)+ row = in(reg32) row, options(pure, readonly, nostack));
                }
                [$($word),+]
            }
            #[cfg(not(target_arch = "nvptx64"))]
            ops::$host(row, $transposed)
        }
    };
}

load!(
    /// Loads four 8x8 matrices. Lane `8 m + r` names the shared address of row `r` of matrix `m` (16 bytes);
    /// lane `l` receives of each matrix items `2 (l % 4)` and `2 (l % 4) + 1` of row `l / 4`, low half first.
    load_x4, 4, "x4", "{{ {a}, {b}, {c}, {d} }}", [a b c d], ldmatrix_x4(false)
);
load!(
    /// [`load_x4`] of the transposed matrices: lane `l` receives of each matrix items `l / 4` of rows
    /// `2 (l % 4)` and `2 (l % 4) + 1`, low half first.
    load_x4_transposed, 4, "x4.trans", "{{ {a}, {b}, {c}, {d} }}", [a b c d], ldmatrix_x4(true)
);
load!(
    /// Two transposed 8x8 matrices: as [`load_x4_transposed`] for matrices 0 and 1. Lanes 0 to 15 name the rows; what
    /// the others name is ignored, and must be valid all the same.
    load_x2_transposed, 2, "x2.trans", "{{ {a}, {b} }}", [a b], ldmatrix_x2(true)
);
