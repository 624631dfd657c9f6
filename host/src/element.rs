//! 16-bit element types as bits.

use dustin_kernels::registry::Dtype;

/// The value of a 16-bit item.
#[must_use]
pub fn decode(dtype: Dtype, bits: u16) -> f32 {
    match dtype {
        Dtype::Bf16 => half::bf16::from_bits(bits).to_f32(),
        Dtype::F16 => half::f16::from_bits(bits).to_f32(),
    }
}

/// The 16-bit item nearest to `value`, ties to even.
#[must_use]
pub fn encode(dtype: Dtype, value: f32) -> u16 {
    match dtype {
        Dtype::Bf16 => half::bf16::from_f32(value).to_bits(),
        Dtype::F16 => half::f16::from_f32(value).to_bits(),
    }
}
