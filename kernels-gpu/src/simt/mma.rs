//! Warp-wide matrix products on the tensor cores (sm_80 and later).
//!
//! Fragments of the 16x8x16 product, for lane `l` with `g = l / 4` and `t = l % 4` (each word holds two items of
//! one row of A, or of one column of B, the lower index in the low half):
//!
//! | operand | word | row (of A, C), or column (of B) | items |
//! |---|---|---|---|
//! | A 16x16, row-major | 0, 1, 2, 3 | g, g + 8, g, g + 8 | 2t, 2t+1 for words 0, 1; 2t+8, 2t+9 for words 2, 3 |
//! | B 16x8, column-major | 0, 1 | g | 2t, 2t+1; 2t+8, 2t+9 |
//! | C 16x8, fp32 | 0, 1, 2, 3 | g, g, g + 8, g + 8 | column 2t, 2t+1, 2t, 2t+1 |

#[cfg(not(target_arch = "nvptx64"))]
use crate::executor::ops;

macro_rules! product {
    ($name:ident, $types:literal, $element:ident) => {
        #[doc = concat!("`accumulator += a · b`. All 32 lanes must take part.\n\n# PTX\n`mma.sync.aligned.m16n8k16.row.col.", $types, "`.")]
        #[inline(always)]
        #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
        pub fn $name(accumulator: &mut [f32; 4], a: [u32; 4], b: [u32; 2]) {
            #[cfg(target_arch = "nvptx64")]
            {
                let [c0, c1, c2, c3] = *accumulator;
                let (d0, d1, d2, d3): (f32, f32, f32, f32);
                // SAFETY: registers only.
                unsafe {
                    core::arch::asm!(
                        concat!("mma.sync.aligned.m16n8k16.row.col.", $types,
                            " {{ {d0}, {d1}, {d2}, {d3} }}, {{ {a0}, {a1}, {a2}, {a3} }}, {{ {b0}, {b1} }}, {{ {c0}, {c1}, {c2}, {c3} }};"),
                        d0 = out(reg32) d0, d1 = out(reg32) d1, d2 = out(reg32) d2, d3 = out(reg32) d3,
                        a0 = in(reg32) a[0], a1 = in(reg32) a[1], a2 = in(reg32) a[2], a3 = in(reg32) a[3],
                        b0 = in(reg32) b[0], b1 = in(reg32) b[1],
                        c0 = in(reg32) c0, c1 = in(reg32) c1, c2 = in(reg32) c2, c3 = in(reg32) c3,
                        options(pure, nomem, nostack));
                }
                *accumulator = [d0, d1, d2, d3];
            }
            #[cfg(not(target_arch = "nvptx64"))]
            {
                *accumulator = ops::mma_m16n8k16(ops::MmaItem::$element, *accumulator, a, b);
            }
        }
    };
}

product!(m16n8k16_bf16, "f32.bf16.bf16.f32", Bf16);
product!(m16n8k16_f16, "f32.f16.f16.f32", F16);
