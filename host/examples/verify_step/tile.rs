//! Random items that fill arrays of any size, over and over, and whose every item is known without the array.

use dustin::{
    Dtype,
    element::{decode, encode},
};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

/// Items of a tile: 8 MiB, a prime number, so that repetitions lie differently in pages.
const ITEMS: usize = (4 << 20) - 3;

/// The largest head: vectors of it are read across the tile's end.
const HEAD: usize = 256;

/// What makes arrays differ: how far apart they begin in the tile.
const PHASE: usize = 1_000_003;

/// A bound whose uniform items have variance 1.
const BOUND: f32 = 1.732;

/// bf16 items of mean 0 and variance 1.
#[derive(Debug)]
pub(crate) struct Tile {
    items: Vec<u16>,
    /// The same in f32, and its beginning once more behind it.
    decoded: Vec<f32>,
}

impl Tile {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let items = bf16(&mut random, ITEMS);
        let decoded = items.iter().chain(&items[..HEAD]).map(|&bits| decode(Dtype::Bf16, bits)).collect();
        Self { items, decoded }
    }

    /// Gives array `array` of `len` items piece by piece, each with the place of its first item.
    pub(crate) fn fill<E>(
        &self,
        array: u32,
        len: usize,
        mut put: impl FnMut(usize, &[u16]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut first, mut at) = (0, place(array, 0));
        while first < len {
            let piece = &self.items[at..ITEMS.min(at + len - first)];
            put(first, piece)?;
            (first, at) = (first + piece.len(), 0);
        }
        Ok(())
    }

    /// `dim` items of array `array` from item `offset` on.
    pub(crate) fn vector(&self, array: u32, offset: u64, dim: u32) -> &[f32] {
        &self.decoded[place(array, offset)..][..dim as usize]
    }
}

/// Where in the tile item `offset` of array `array` stands.
fn place(array: u32, offset: u64) -> usize {
    ((array as usize * PHASE) as u64 + offset) as usize % ITEMS
}

/// `len` random items of mean 0 and variance 1.
pub(crate) fn bf16(random: &mut Pcg64Mcg, len: usize) -> Vec<u16> {
    (0..len).map(|_| encode(Dtype::Bf16, random.random_range(-BOUND..BOUND))).collect()
}
