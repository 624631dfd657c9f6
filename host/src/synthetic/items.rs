//! Items of arrays.

use dustin_kernels::registry::Dtype;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::NAN;
use crate::{element::encode, error::InvalidInput};

/// What stands in entries of index arrays that must not be used.
pub(crate) const POISON_INDICES: [i32; 4] = [i32::MAX, i32::MIN, -1, 1 << 30];

/// The standard deviation of 16-bit items.
#[derive(Clone, Copy)]
pub(crate) enum Spread {
    One,
    Eight,
}

/// Normally distributed 16-bit items, drawn from a table: caches have up to a thousand million of them.
pub(crate) struct Items {
    pub(crate) rng: Pcg64Mcg,
    one: Vec<u16>,
    eight: Vec<u16>,
}

impl Items {
    /// 12 bits choose an item.
    const CHOICES: usize = 1 << 12;

    pub(crate) fn new(dtype: Dtype, seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let normals: Vec<f32> = (0..Self::CHOICES)
            .map(|_| {
                // The method of Box and Muller; 1 - x lies in (0, 1].
                let (radius, angle): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
                (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
            })
            .collect();
        let table = |factor: f32| normals.iter().map(|x| encode(dtype, factor * x)).collect();
        Self { one: table(1.0), eight: table(8.0), rng }
    }

    /// Fills `items`.
    pub(crate) fn fill(&mut self, items: &mut [u16], spread: Spread) {
        let table = match spread {
            Spread::One => &self.one,
            Spread::Eight => &self.eight,
        };
        for chunk in items.chunks_mut(5) {
            let mut bits = self.rng.next_u64();
            for item in chunk {
                *item = table[bits as usize % Self::CHOICES];
                bits >>= 12;
            }
        }
    }

    /// `count` indices that lie outside of everything.
    pub(crate) fn poison_indices(&mut self, count: u64) -> Result<Vec<i32>, InvalidInput> {
        let mut items = room(count)?;
        items.extend((0..count).map(|_| POISON_INDICES[self.rng.random_range(0..POISON_INDICES.len())]));
        Ok(items)
    }
}

/// An empty array with room for `count` items.
pub(crate) fn room<T>(count: u64) -> Result<Vec<T>, InvalidInput> {
    let mut items = Vec::new();
    match usize::try_from(count).map(|count| items.try_reserve_exact(count)) {
        Ok(Ok(())) => Ok(items),
        _ => {
            let bytes = u128::from(count) * size_of::<T>() as u128;
            let actual = format!("too little for {bytes} bytes");
            Err(InvalidInput::new("synthetic input", "memory", "enough for every array", actual))
        }
    }
}

/// `count` items that are NaN in both element types.
pub(crate) fn nans(count: u64) -> Result<Vec<u16>, InvalidInput> {
    let mut items = room(count)?;
    // There is room for them, so that the count is one of memory's.
    items.resize(count as usize, NAN);
    Ok(items)
}
