//! The 16x8x16 matrix product of a warp, from and to fragments.
//!
//! Products of 16-bit items are exact in fp32. They are added to the accumulator in fp32, in ascending order, each
//! sum rounded to nearest even. Tensor cores add in another order and with other roundings, so results agree to
//! rounding, not in every bit.

use half::f16;

/// What the items of A and B are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MmaItem {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl MmaItem {
    fn value(self, bits: u32) -> f32 {
        match self {
            Self::Bf16 => f32::from_bits(bits << 16),
            Self::F16 => f16::from_bits(bits as u16).to_f32(),
        }
    }

    /// The two items of a word, the low half first.
    fn pair(self, word: u32) -> [f32; 2] {
        [self.value(word & 0xffff), self.value(word >> 16)]
    }
}

/// A, B and C, gathered from the lanes of a warp.
#[derive(Default)]
pub(super) struct Fragments {
    /// `[row][item]`.
    a: [[f32; 16]; 16],
    /// `[item][column]`.
    b: [[f32; 8]; 16],
    /// `[row][column]`.
    c: [[f32; 8]; 16],
}

impl Fragments {
    /// Takes over one lane's share.
    pub(super) fn set(&mut self, lane: usize, item: MmaItem, c: [f32; 4], a: [u32; 4], b: [u32; 2]) {
        let (group, pair) = (lane / 4, 2 * (lane % 4));
        for (word, &bits) in a.iter().enumerate() {
            let (row, column) = (group + 8 * (word % 2), pair + 8 * (word / 2));
            [self.a[row][column], self.a[row][column + 1]] = item.pair(bits);
        }
        for (word, &bits) in b.iter().enumerate() {
            let row = pair + 8 * word;
            [self.b[row][group], self.b[row + 1][group]] = item.pair(bits);
        }
        for (word, &value) in c.iter().enumerate() {
            self.c[group + 8 * (word / 2)][pair + word % 2] = value;
        }
    }

    /// `C += A · B`.
    pub(super) fn multiply(&mut self) {
        for (a, c) in self.a.iter().zip(&mut self.c) {
            for (a, b) in a.iter().zip(&self.b) {
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
