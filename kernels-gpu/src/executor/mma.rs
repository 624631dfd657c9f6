//! The 16x8x16 matrix product of a warp, from and to fragments.
//!
//! Products of 16-bit items are exact in fp32. They are added to the accumulator in fp32, in ascending order, each
//! sum rounded to nearest even. Tensor cores add in another order and with other roundings, so results agree to
//! rounding, not in every bit.

use half::{
    bf16, f16,
    slice::{HalfBitsSliceExt, HalfFloatSliceExt},
};

/// What the items of A and B are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MmaItem {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl MmaItem {
    fn convert(self, bits: &[u16], values: &mut [f32]) {
        match self {
            Self::Bf16 => bits.reinterpret_cast::<bf16>().convert_to_f32_slice(values),
            Self::F16 => bits.reinterpret_cast::<f16>().convert_to_f32_slice(values),
        }
    }
}

/// A, B and C, gathered from the lanes of a warp.
#[derive(Default)]
pub(super) struct Fragments {
    /// `[row][item]`, bits.
    a: [[u16; 16]; 16],
    /// `[item][column]`, bits.
    b: [[u16; 8]; 16],
    /// `[row][column]`.
    c: [[f32; 8]; 16],
}

impl Fragments {
    /// Takes over one lane's share.
    pub(super) fn set(&mut self, lane: usize, c: [f32; 4], a: [u32; 4], b: [u32; 2]) {
        let (group, pair) = (lane / 4, 2 * (lane % 4));
        for (word, bits) in a.into_iter().enumerate() {
            let (row, column) = (group + 8 * (word % 2), pair + 8 * (word / 2));
            [self.a[row][column], self.a[row][column + 1]] = halves(bits);
        }
        for (word, bits) in b.into_iter().enumerate() {
            let row = pair + 8 * word;
            [self.b[row][group], self.b[row + 1][group]] = halves(bits);
        }
        for (word, value) in c.into_iter().enumerate() {
            self.c[group + 8 * (word / 2)][pair + word % 2] = value;
        }
    }

    /// `C += A · B`.
    pub(super) fn multiply(&mut self, item: MmaItem) {
        let (mut a, mut b) = ([[0.0; 16]; 16], [[0.0; 8]; 16]);
        item.convert(self.a.as_flattened(), a.as_flattened_mut());
        item.convert(self.b.as_flattened(), b.as_flattened_mut());
        for (a, c) in a.iter().zip(&mut self.c) {
            for (a, b) in a.iter().zip(&b) {
                for (c, b) in c.iter_mut().zip(b) {
                    *c += a * b;
                }
            }
        }
    }

    /// One lane's share of C.
    pub(super) fn accumulator(&self, lane: usize) -> [f32; 4] {
        let (group, pair) = (lane / 4, 2 * (lane % 4));
        std::array::from_fn(|word| self.c[group + 8 * (word / 2)][pair + word % 2])
    }
}

/// The two items of a word, the low half first.
fn halves(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}
