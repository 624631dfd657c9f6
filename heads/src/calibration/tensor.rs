//! Items of a tensor, as they lie in the file.

use std::{borrow::Cow, ops::Range, sync::Arc};

use dustin::Dtype;
use half::{bf16, f16};
use rayon::prelude::*;

use super::{Element, file::Bytes};

/// A tensor of floating-point items in up to three dimensions, the outermost of which are heads.
#[derive(Clone, Debug)]
pub struct Tensor {
    bytes: Arc<Bytes>,
    range: Range<usize>,
    element: Element,
    /// Heads, rows, items.
    shape: [usize; 3],
}

impl Tensor {
    /// The tensor in `range` of `bytes`, which has exactly room for it.
    pub(super) fn new(bytes: Arc<Bytes>, range: Range<usize>, element: Element, shape: [usize; 3]) -> Self {
        debug_assert_eq!(range.len(), shape.iter().product::<usize>() * size(element));
        Self { bytes, range, element, shape }
    }

    /// Heads, rows, items in a row.
    #[must_use]
    pub const fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The 16-bit type of [`bits`](Self::bits): the tensor's own, bfloat16 for single precision.
    #[must_use]
    pub const fn dtype(&self) -> Dtype {
        match self.element {
            Element::F16 => Dtype::F16,
            Element::Bf16 | Element::F32 => Dtype::Bf16,
        }
    }

    /// The rows of `heads` as a 16-bit cache holds them, `[heads, rows, items]`; empty for heads that there are not. Nothing is copied
    /// unless the tensor is of single precision, which is rounded to bfloat16, or lies at an odd address.
    #[must_use]
    pub fn bits(&self, heads: Range<usize>) -> Cow<'_, [u16]> {
        let bytes = self.bytes_of(heads);
        if self.element == Element::F32 {
            return bytes
                .as_chunks()
                .0
                .iter()
                .map(|&item| bf16::from_f32(f32::from_le_bytes(item)).to_bits())
                .collect();
        }
        // SAFETY: any two bytes are a u16.
        match unsafe { bytes.align_to::<u16>() } {
            ([], items, []) if cfg!(target_endian = "little") => Cow::Borrowed(items),
            _ => bytes.as_chunks().0.iter().map(|&item| u16::from_le_bytes(item)).collect(),
        }
    }

    /// The rows of `heads`, `[heads, rows, items]`; empty for heads that there are not.
    #[must_use]
    pub fn floats(&self, heads: Range<usize>) -> Vec<f32> {
        let bytes = self.bytes_of(heads);
        let of_bits = |of: fn(u16) -> f32| {
            bytes.as_chunks().0.iter().map(|&item| of(u16::from_le_bytes(item))).collect()
        };
        match self.element {
            Element::F32 => bytes.as_chunks().0.iter().map(|&item| f32::from_le_bytes(item)).collect(),
            Element::Bf16 => of_bits(|bits| bf16::from_bits(bits).to_f32()),
            Element::F16 => of_bits(|bits| f16::from_bits(bits).to_f32()),
        }
    }

    fn bytes_of(&self, heads: Range<usize>) -> &[u8] {
        let head = self.shape[1] * self.shape[2] * size(self.element);
        let at = heads.start.saturating_mul(head)..heads.end.saturating_mul(head);
        self.bytes[self.range.clone()].get(at).unwrap_or(&[])
    }

    /// Head and row of the first item that is NaN or infinite.
    pub(super) fn first_not_finite(&self) -> Option<[u64; 2]> {
        const ROWS: usize = 256;
        let row = (self.shape[2] * size(self.element)).max(1);
        let bytes = &self.bytes[self.range.clone()];
        let (chunk, _) =
            bytes.par_chunks(ROWS * row).enumerate().find_first(|(_, rows)| !self.is_finite(rows))?;
        let begin = chunk * ROWS;
        let within = bytes[begin * row..].chunks(row).position(|row| !self.is_finite(row))?;
        let at = (begin + within) as u64;
        let rows = (self.shape[1] as u64).max(1);
        Some([at / rows, at % rows])
    }

    fn is_finite(&self, bytes: &[u8]) -> bool {
        let all = |exponent: u16| {
            // Side by side, unlike `all`.
            let below = |item: &[u8; 2]| u16::from_le_bytes(*item) & exponent != exponent;
            bytes.as_chunks().0.iter().fold(true, |finite, item| finite & below(item))
        };
        match self.element {
            Element::Bf16 => all(0x7f80),
            Element::F16 => all(0x7c00),
            Element::F32 => {
                let finite = |item: &[u8; 4]| f32::from_le_bytes(*item).is_finite();
                bytes.as_chunks().0.iter().fold(true, |all, item| all & finite(item))
            }
        }
    }
}

/// Bytes of an item.
pub(super) const fn size(element: Element) -> usize {
    match element {
        Element::Bf16 | Element::F16 => 2,
        Element::F32 => 4,
    }
}
