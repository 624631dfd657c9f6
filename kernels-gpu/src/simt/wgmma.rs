//! Matrix products of a warpgroup, operands straight from shared memory (sm_90a alone).
//!
//! A warpgroup is four warps of a block, the first one's number a multiple of 4. They multiply 64 rows of A: warp `w` of the
//! group has rows `16·w` to `16·w + 15` of the product, in the fragments of [`mma`](super::mma), one for every 8 columns. B lies in
//! shared memory; A, too, or in registers: there each warp brings its 16 rows, in a fragment for every 16 items. All four take
//! part in each product, with the same operands.
//!
//! Shared memory is read through the asynchronous proxy: whoever has written an operand by other means fences
//! ([`fence::proxy_async`](super::fence::proxy_async)) before the barrier that orders the product behind.

#[cfg(target_arch = "nvptx64")]
use core::arch::asm;

use super::{Bf16, Element, F16};
#[cfg(not(target_arch = "nvptx64"))]
use {
    super::thread::{lane, warp},
    crate::executor::ops,
};

/// What swizzled rows are aligned to, eight of them together.
pub const ALIGNMENT: u32 = 1024;

/// An operand in shared memory: 16 items of the inner dimension, for all rows or columns of the product.
///
/// It lies in rows of 128 bytes, eight of which fill 1024 aligned ones; the 16-byte words of row `r` are exchanged by `r % 8`: word
/// `w` stands where `w ^ (r % 8)` would.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    /// Words of 16 bytes before the first item, as it would stand if nothing were exchanged.
    word: u32,
    leading: u32,
    stride: u32,
}

impl Matrix {
    /// The operand whose first item would stand at `address` if nothing were exchanged, with `stride` bytes from eight rows to the
    /// next eight and, where rows hold columns, `leading` bytes from 64 columns to the next 64. All are multiples of 16.
    #[inline(always)]
    #[must_use]
    pub const fn new(address: u32, leading: u32, stride: u32) -> Self {
        Self { word: address / 16, leading, stride }
    }

    /// The one `bytes` behind, a multiple of 16.
    #[inline(always)]
    #[must_use]
    pub const fn behind(self, bytes: u32) -> Self {
        Self { word: self.word + bytes / 16, ..self }
    }

    /// As the instruction takes it: addresses and distances by 16 bytes, and rows of 128 bytes with exchanged words.
    #[cfg(target_arch = "nvptx64")]
    #[inline(always)]
    fn descriptor(self) -> u64 {
        // Shared memory has less than 2^18 bytes, so that a word's number takes no more than its 14 bits.
        let part = |bytes: u32| u64::from((bytes & 0x3_ffff) >> 4);
        u64::from(self.word) | part(self.leading) << 16 | part(self.stride) << 32 | 1 << 62
    }

    #[cfg(not(target_arch = "nvptx64"))]
    const fn address(self) -> u32 {
        16 * self.word
    }

    /// What the descriptor is made of.
    #[cfg(not(target_arch = "nvptx64"))]
    const fn parts(self) -> [u32; 3] {
        [self.address(), self.leading, self.stride]
    }

    /// The calling lane's share of the warp's 16 rows, as [`mma`](super::mma) takes it.
    #[cfg(not(target_arch = "nvptx64"))]
    #[track_caller]
    fn left(self) -> [u32; 4] {
        // Lanes name the rows of two matrices of 8x8 items, one below the other.
        let rows = warp() % 4 * 2 + lane() / 8 % 2;
        let words = [0, 16].map(|word| {
            let plain = self.address() + rows * self.stride + lane() % 8 * 128 + word;
            ops::async_matrices(exchanged(plain), false, self.parts())
        });
        [words[0][0], words[0][1], words[1][0], words[1][1]]
    }

    /// The calling lane's share of `8·tile` to `8·tile + 7` of the columns, as [`mma`](super::mma) takes it.
    #[cfg(not(target_arch = "nvptx64"))]
    #[track_caller]
    fn right(self, tile: usize, columns_in_rows: bool) -> [u32; 2] {
        // Lanes name the rows of two matrices of 8x8 items, of the first and of the last 8 items of the inner dimension.
        let (tile, half, row) = (tile as u32, lane() / 8 % 2, lane() % 8);
        let offset = if columns_in_rows {
            tile / 8 * self.leading + tile % 8 * 16 + half * self.stride
        } else {
            tile * self.stride + half * 16
        };
        let plain = self.address() + offset + row * 128;
        ops::async_matrices(exchanged(plain), columns_in_rows, self.parts())
    }
}

/// Where the word at `address` stands.
#[cfg(not(target_arch = "nvptx64"))]
const fn exchanged(address: u32) -> u32 {
    address ^ (address >> 7 & 7) << 4
}

/// The product of 64 rows and `8 · TILES` columns over `16 · STEPS` items, the left operand in registers.
pub trait Wgmma<const TILES: usize, const STEPS: usize>: Element {
    /// `accumulator += a · b`, and waits for it. Each row of `b` holds 64 columns, of one item of the inner dimension.
    ///
    /// # PTX
    /// `wgmma.fence`, `wgmma.mma_async.sync.aligned.m64n…k16` for each step, `wgmma.commit_group`, `wgmma.wait_group 0`.
    ///
    /// # Safety
    /// All lanes of the four warps take part, with the same `b`, which lies in the block's shared memory and is visible to the
    /// asynchronous proxy.
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    unsafe fn multiply(accumulator: &mut [[f32; 4]; TILES], a: &[[u32; 4]; STEPS], b: &[Matrix; STEPS]);
}

/// The product of 64 rows and `8 · TILES` columns over `16 · STEPS` items, both operands in shared memory.
pub trait WgmmaShared<const TILES: usize, const STEPS: usize>: Element {
    /// `accumulator += a · b`, and waits for it. Each row of `a` holds the items of one row of the product, each row of `b` those
    /// of one column.
    ///
    /// # PTX
    /// As [`Wgmma::multiply`].
    ///
    /// # Safety
    /// As [`Wgmma::multiply`], for both operands.
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    unsafe fn multiply_shared(accumulator: &mut [[f32; 4]; TILES], a: &[Matrix; STEPS], b: &[Matrix; STEPS]);
}

#[cfg(target_arch = "nvptx64")]
macro_rules! words {
    (4) => { "{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}" };
    (8) => { concat!(words!(4), ", {16}, {17}, {18}, {19}, {20}, {21}, {22}, {23}, {24}, {25}, {26}, {27}, {28}, {29}, {30}, {31}") };
    (16) => {
        concat!(words!(8), ", {32}, {33}, {34}, {35}, {36}, {37}, {38}, {39}, {40}, {41}, {42}, {43}, {44}, {45}, {46}, {47}",
            ", {48}, {49}, {50}, {51}, {52}, {53}, {54}, {55}, {56}, {57}, {58}, {59}, {60}, {61}, {62}, {63}")
    };
}

/// The assembly of one product: a single block, since between the first instruction and the wait nothing may touch the accumulators.
#[cfg(target_arch = "nvptx64")]
macro_rules! assembly {
    ($accumulator:ident $types:literal $tiles:tt [$($tile:literal)+] $columns:literal [$($left:expr, $right:ident, $flags:literal;)+] $($operands:tt)*) => {
        asm!(
            "{{", ".reg .pred p;", "setp.eq.u32 p, 1, 1;", "wgmma.fence.sync.aligned;",
            $(concat!("wgmma.mma_async.sync.aligned.m64n", $columns, "k16.f32.", $types, " {{ ", words!($tiles), " }}, ", $left,
                ", {", stringify!($right), "}, p, 1, 1, ", $flags, ";"),)+
            "wgmma.commit_group.sync.aligned;", "wgmma.wait_group.sync.aligned 0;", "}}",
            $(inout(reg32) $accumulator[$tile][0], inout(reg32) $accumulator[$tile][1],
                inout(reg32) $accumulator[$tile][2], inout(reg32) $accumulator[$tile][3],)+
            $($operands)*
            options(nostack))
    };
}

macro_rules! product {
    (registers $element:ident $types:literal $tiles:tt $list:tt $columns:literal $steps:literal
     [$(($step:literal $w0:ident $w1:ident $w2:ident $w3:ident $b:ident))+]) => {
        impl Wgmma<$tiles, $steps> for $element {
            #[inline(always)]
            #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
            unsafe fn multiply(
                accumulator: &mut [[f32; 4]; $tiles],
                a: &[[u32; 4]; $steps],
                b: &[Matrix; $steps],
            ) {
                #[cfg(target_arch = "nvptx64")]
                // SAFETY: the caller's promise.
                unsafe {
                    assembly!(accumulator $types $tiles $list $columns
                        [$(concat!("{{ {", stringify!($w0), "}, {", stringify!($w1), "}, {", stringify!($w2), "}, {", stringify!($w3), "} }}"),
                            $b, "1";)+]
                        $($w0 = in(reg32) a[$step][0], $w1 = in(reg32) a[$step][1], $w2 = in(reg32) a[$step][2],
                            $w3 = in(reg32) a[$step][3], $b = in(reg64) b[$step].descriptor(),)+);
                }
                #[cfg(not(target_arch = "nvptx64"))]
                for (a, b) in a.iter().zip(b) {
                    for (tile, accumulator) in accumulator.iter_mut().enumerate() {
                        Self::mma(accumulator, *a, b.right(tile, true));
                    }
                }
            }
        }
    };
    (shared $element:ident $types:literal $tiles:tt $list:tt $columns:literal $steps:literal
     [$(($step:literal $a:ident $w1:ident $w2:ident $w3:ident $b:ident))+]) => {
        impl WgmmaShared<$tiles, $steps> for $element {
            #[inline(always)]
            #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
            unsafe fn multiply_shared(
                accumulator: &mut [[f32; 4]; $tiles],
                a: &[Matrix; $steps],
                b: &[Matrix; $steps],
            ) {
                #[cfg(target_arch = "nvptx64")]
                // SAFETY: the caller's promise.
                unsafe {
                    assembly!(accumulator $types $tiles $list $columns
                        [$(concat!("{", stringify!($a), "}"), $b, "0, 0";)+]
                        $($a = in(reg64) a[$step].descriptor(), $b = in(reg64) b[$step].descriptor(),)+);
                }
                #[cfg(not(target_arch = "nvptx64"))]
                for (a, b) in a.iter().zip(b) {
                    let a = a.left();
                    for (tile, accumulator) in accumulator.iter_mut().enumerate() {
                        Self::mma(accumulator, a, b.right(tile, false));
                    }
                }
            }
        }
    };
}

macro_rules! products {
    ($kind:ident $tiles:tt $list:tt $columns:literal: $($steps:tt)+) => {$(
        products!(@steps $kind $tiles $list $columns $steps);
    )+};
    (@steps $kind:ident $tiles:tt $list:tt $columns:literal 2) => {
        products!(@types $kind $tiles $list $columns 2 [(0 a0 a1 a2 a3 a) (1 b0 b1 b2 b3 b)]);
    };
    (@steps $kind:ident $tiles:tt $list:tt $columns:literal 4) => {
        products!(@types $kind $tiles $list $columns 4
            [(0 a0 a1 a2 a3 a) (1 b0 b1 b2 b3 b) (2 c0 c1 c2 c3 c) (3 d0 d1 d2 d3 d)]);
    };
    (@steps $kind:ident $tiles:tt $list:tt $columns:literal 8) => {
        products!(@types $kind $tiles $list $columns 8
            [(0 a0 a1 a2 a3 a) (1 b0 b1 b2 b3 b) (2 c0 c1 c2 c3 c) (3 d0 d1 d2 d3 d)
             (4 e0 e1 e2 e3 e) (5 f0 f1 f2 f3 f) (6 g0 g1 g2 g3 g) (7 h0 h1 h2 h3 h)]);
    };
    (@types $kind:ident $tiles:tt $list:tt $columns:literal $steps:tt $operands:tt) => {
        product!($kind Bf16 "bf16.bf16" $tiles $list $columns $steps $operands);
        product!($kind F16 "f16.f16" $tiles $list $columns $steps $operands);
    };
}

products!(shared 4 [0 1 2 3] "32": 4 8);
products!(registers 8 [0 1 2 3 4 5 6 7] "64": 2);
products!(registers 16 [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] "128": 2);
