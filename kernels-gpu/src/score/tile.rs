//! The logits of one tile of keys.

use super::{heads::Heads, keys::Ring, params::Cache, sequence::Sequence};
use crate::simt::{Element, ldmatrix, thread::lane};

/// A tile of keys in its place of the ring.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Its place in the ring.
    pub(super) stage: u32,
    /// Its first position.
    pub(super) position: u32,
    /// The end of the tokens that count.
    pub(super) end: u32,
    /// Whether a page outside the cache has been met.
    pub(super) masked: bool,
}

impl Tile {
    /// The calling lane's logits, in units of log2, of 8 columns: `logits[c][h]` is that of column `lane % 4 · 2 + c` and token
    /// `8·h + lane / 4`, negative infinity where the token cannot be read.
    ///
    /// # Safety
    /// The queries of column group `group` and the tile's keys are in shared memory, visible to the warp; the tile's tokens up
    /// to its end have entries in the table. All 32 lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn logits<E: Element, const H: usize, const J: usize, const U: usize>(
        &self,
        cache: &Cache,
        sequence: &Sequence,
        heads: Heads,
        ring: Ring<H, J, U>,
        group: u32,
    ) -> [[f32; H]; 2] {
        // Lanes name the rows of four matrices: two of 8 tokens, of 8 items each and of the 8 behind.
        let row = Ring::<H, J, U>::word(lane() % 16, lane() / 16);
        let place = ring.place(self.stage);
        let mut products = [[0.0; 4]; H];
        for j in 0..J {
            // SAFETY: the caller's promise. A step of 16 items is two words, which in the order of words is one bit.
            unsafe {
                let query = heads.query::<J>(group, j as u32);
                for h in 0..H / 2 {
                    let tokens = place + Ring::<H, J, U>::word(16 * h as u32, 0);
                    for step in 0..2 {
                        let word = (2 * j + step) as u32 * 32;
                        let keys = ldmatrix::load_x4(tokens + (row ^ word));
                        E::mma(&mut products[h], keys, query[step]);
                    }
                }
            }
        }
        let mut logits = [[0.0; H]; 2];
        for h in 0..H {
            for column in 0..2 {
                logits[column][h] = products[h / 2][h % 2 * 2 + column] * cache.scale_log2;
            }
        }
        if self.masked || self.position + 8 * H as u32 > self.end {
            for h in 0..H {
                let token = self.position + 8 * h as u32 + lane() / 4;
                // SAFETY: the caller's promise.
                let outside =
                    self.masked && token < self.end && unsafe { sequence.page(cache, token) } >= cache.pages;
                if token >= self.end || outside {
                    logits[0][h] = f32::NEG_INFINITY;
                    logits[1][h] = f32::NEG_INFINITY;
                }
            }
        }
        logits
    }
}
