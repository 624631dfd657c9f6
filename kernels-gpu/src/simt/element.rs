//! The 16-bit floating-point types of queries, keys, values and outputs.

use super::mma;

/// A 16-bit floating-point type that the tensor cores multiply with fp32 accumulation.
pub trait Element: Copy + 'static {
    /// Rounds two floats to nearest even and packs them, `low` in the low half.
    ///
    /// # PTX
    /// `cvt.rn.bf16x2.f32` or `cvt.rn.f16x2.f32`.
    fn pack(low: f32, high: f32) -> u32;

    /// The value of an item's bits.
    ///
    /// # PTX
    /// A shift, or `cvt.f32.f16`.
    fn unpack(bits: u16) -> f32;

    /// `accumulator += a · b` for one 16x8x16 tile. All 32 lanes must take part; see [`mma`] for the fragments.
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    fn mma(accumulator: &mut [f32; 4], a: [u32; 4], b: [u32; 2]);
}

/// bfloat16.
#[derive(Clone, Copy, Debug)]
pub struct Bf16;

/// IEEE half precision.
#[derive(Clone, Copy, Debug)]
pub struct F16;

macro_rules! element {
    ($ty:ident, $convert:literal, $half:ident, $unpack:expr, $mma:ident) => {
        impl Element for $ty {
            #[inline(always)]
            fn pack(low: f32, high: f32) -> u32 {
                #[cfg(target_arch = "nvptx64")]
                {
                    let packed: u32;
                    // SAFETY: registers only.
                    unsafe {
                        core::arch::asm!(concat!($convert, " {d}, {high}, {low};"), d = out(reg32) packed,
                            high = in(reg32) high, low = in(reg32) low, options(pure, nomem, nostack));
                    }
                    packed
                }
                #[cfg(not(target_arch = "nvptx64"))]
                {
                    let bits = |x| u32::from(half::$half::from_f32(x).to_bits());
                    bits(low) | bits(high) << 16
                }
            }

            #[inline(always)]
            fn unpack(bits: u16) -> f32 {
                #[cfg(target_arch = "nvptx64")]
                return $unpack(bits);
                #[cfg(not(target_arch = "nvptx64"))]
                half::$half::from_bits(bits).to_f32()
            }

            #[inline(always)]
            #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
            fn mma(accumulator: &mut [f32; 4], a: [u32; 4], b: [u32; 2]) {
                mma::$mma(accumulator, a, b);
            }
        }
    };
}

element!(Bf16, "cvt.rn.bf16x2.f32", bf16, |bits: u16| f32::from_bits(u32::from(bits) << 16), m16n8k16_bf16);
element!(
    F16,
    "cvt.rn.f16x2.f32",
    f16,
    |bits: u16| {
        let value: f32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("cvt.f32.f16 {d}, {b};", d = out(reg32) value, b = in(reg16) bits,
                options(pure, nomem, nostack));
        }
        value
    },
    m16n8k16_f16
);
