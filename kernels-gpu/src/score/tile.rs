//! The logits of one tile of keys.

use super::{heads::Heads, keys::Ring, params::Cache, sequence::Sequence};
use crate::simt::{Element, Word, thread::lane};

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
    /// The logits, in units of log2, of 16 columns: `logits[r][2·h + i]` is that of column `lane / 4 + 8·r` and token
    /// `8·h + lane % 4 · 2 + i`, negative infinity where the token cannot be read. `N` = `2 · H`.
    ///
    /// # Safety
    /// The queries of column group `group` and the tile's keys are in shared memory, visible to the warp; the tile's tokens up
    /// to its end have entries in the table. All 32 lanes take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn logits<
        E: Element,
        const H: usize,
        const J: usize,
        const U: usize,
        const N: usize,
    >(
        &self,
        cache: &Cache,
        sequence: &Sequence,
        heads: Heads,
        ring: Ring<H, J, U>,
        group: u32,
    ) -> [[f32; N]; 2] {
        let mut products = [[0.0; 4]; H];
        for j in 0..J {
            // SAFETY: the caller's promise.
            unsafe {
                let query = heads.query::<J>(group, j as u32);
                for h in 0..H {
                    let (token, word) = (8 * h as u32 + lane() / 4, 4 * j as u32 + lane() % 4);
                    let key = <[u32; 4]>::load_shared(ring.word(self.stage, token, word));
                    E::mma(&mut products[h], query[0], [key[0], key[1]]);
                    E::mma(&mut products[h], query[1], [key[2], key[3]]);
                }
            }
        }
        let mut logits = [[0.0; N]; 2];
        for i in 0..N {
            for row in 0..2 {
                logits[row][i] = products[i / 2][2 * row + i % 2] * cache.scale_log2;
            }
        }
        if self.masked || self.position + 8 * H as u32 > self.end {
            for i in 0..N {
                let token = self.position + lane() % 4 * 2 + i as u32 / 2 * 8 + i as u32 % 2;
                // SAFETY: the caller's promise.
                let outside =
                    self.masked && token < self.end && unsafe { sequence.page(cache, token) } >= cache.pages;
                if token >= self.end || outside {
                    logits[0][i] = f32::NEG_INFINITY;
                    logits[1][i] = f32::NEG_INFINITY;
                }
            }
        }
        logits
    }
}
