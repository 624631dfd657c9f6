//! Keys on their way from the paged cache to the tensor cores.
//!
//! A tile is `8 · H` keys of one KV head in a place of its warp's own ring in shared memory. The lanes copy whole rows, side
//! by side, so that memory sees whole lines; as operands they take matrices of 8 tokens by 8 items (`ldmatrix`).

use super::{heads::Heads, params::Cache, sequence::Sequence, walk::Walk};
use crate::{
    fault::Fault,
    simt::{
        CachePolicy, Global, Shared, WARP, cp_async, shuffle,
        thread::{lane, warp},
        vote,
    },
};

/// Stands for the place of a token that cannot be read.
const MASKED: u32 = u32::MAX;

/// A warp's ring of `U` places in shared memory, for tiles of `8 · H` keys of `32 · J` items.
#[derive(Clone, Copy)]
pub(super) struct Ring<const H: usize, const J: usize, const U: usize> {
    /// Offset of the block's rings in shared memory.
    pub(super) offset: u32,
}

impl<const H: usize, const J: usize, const U: usize> Ring<H, J, U> {
    /// Tokens in a tile.
    pub(super) const TOKENS: u32 = 8 * H as u32;

    /// The address of the first word of place `stage`, a multiple of 128.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn place(self, stage: u32) -> u32 {
        let tile = (warp() * U as u32 + stage) * Self::TOKENS * 4 * J as u32;
        Shared::<u32>::at(self.offset).byte(tile * 16)
    }

    /// The bytes from a place's first word to word `word` of token `token`, of 16 bytes each. A token's words are exchanged
    /// within each eight, so that the same word of eight tokens in turn lies in different banks. A whole line of 128 bytes
    /// stays one: copies that scatter it reach the L2 cache as twice as many requests.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn word(token: u32, word: u32) -> u32 {
        (token * 4 * J as u32 + (word ^ (token % 8))) * 16
    }
}

/// Copies the tiles of a [`Walk`] into a ring. A lane looks after one token of a tile, whose page is asked for a tile ahead.
pub(super) struct Producer<'a, const H: usize, const J: usize, const U: usize> {
    cache: &'a Cache,
    sequence: &'a Sequence,
    heads: Heads,
    ring: Ring<H, J, U>,
    walk: Walk,
    stage: u32,
    /// The place of the lane's token, in words of 16 bytes from the cache's start.
    token: u32,
    /// The page of the lane's token of the next tile.
    page: u32,
    policy: CachePolicy,
    /// Whether a page outside the cache has been met, by whichever lane.
    pub(super) masked: bool,
}

impl<'a, const H: usize, const J: usize, const U: usize> Producer<'a, H, J, U> {
    /// Begins with the walk's first tile. All 32 lanes take part, here and in every tile.
    ///
    /// # Safety
    /// The cache's arrays are as documented, and the groups are stored and visible.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn new(
        cache: &'a Cache,
        sequence: &'a Sequence,
        heads: Heads,
        ring: Ring<H, J, U>,
        walk: Walk,
    ) -> Self {
        let mut producer = Self {
            cache,
            sequence,
            heads,
            ring,
            walk,
            stage: 0,
            token: MASKED,
            page: 0,
            policy: CachePolicy::evict_first(),
            masked: false,
        };
        // SAFETY: the caller's promise.
        unsafe {
            producer.page = producer.look_up(walk.position());
            producer.resolve();
        }
        producer
    }

    /// Whether the lane has a token that the table has room for, in the tile at `position`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn exists(&self, position: u32) -> bool {
        lane() < Ring::<H, J, U>::TOKENS && position + lane() < self.sequence.readable(self.cache)
    }

    /// The page of the lane's token of the tile at `position`.
    ///
    /// # Safety
    /// As [`Producer::new`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn look_up(&self, position: Option<u32>) -> u32 {
        match position {
            // SAFETY: the token has an entry in the sequence's table.
            Some(position) if self.exists(position) => unsafe {
                self.sequence.page(self.cache, position + lane())
            },
            _ => 0,
        }
    }

    /// Finds the token of the tile at hand, and asks for the next one's page.
    ///
    /// # Safety
    /// As [`Producer::new`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn resolve(&mut self) {
        let position = self.walk.position().unwrap_or(u32::MAX - WARP);
        let exists = self.exists(position);
        let outside = exists && self.page >= self.cache.pages;
        if outside {
            self.sequence.report(Fault::Page);
        }
        self.masked |= vote::ballot(outside) != 0;
        self.token = MASKED;
        if exists && !outside {
            let place = (position + lane()) & ((1 << self.cache.page_shift) - 1);
            let items =
                u64::from(self.page) * self.cache.page_stride + u64::from(place) * self.cache.token_stride;
            // The host has checked that the cache's words can be counted in 32 bits.
            self.token = (items / 8) as u32;
        }
        // SAFETY: the caller's promise.
        self.page = unsafe { self.look_up(self.walk.ahead()) };
    }

    /// Starts to copy the next tile, if there is one, as one more group of copies.
    ///
    /// # Safety
    /// As [`Producer::new`]; the warp has taken what the tile's place held.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn next(&mut self) {
        if self.walk.position().is_some() {
            // SAFETY: the group is one of the table's.
            let keys = unsafe { self.heads.keys(self.walk.group()) };
            let (row, column) = (lane() / (4 * J as u32), lane() % (4 * J as u32));
            let place = self.ring.place(self.stage);
            for i in 0..H * J {
                let token = i as u32 * 8 / J as u32 + row;
                let word = shuffle::shuffle_index(self.token, token);
                let valid = word != MASKED;
                let from = Global::<[u32; 4]>::at(keys).item(if valid {
                    u64::from(word) + u64::from(column)
                } else {
                    0
                });
                let to = place + Ring::<H, J, U>::word(token, column);
                // SAFETY: a page of the cache, or nothing is read; the place is free.
                unsafe { cp_async::copy_16_hinted(to, from, valid, self.policy) };
            }
            self.stage = (self.stage + 1) % U as u32;
            if self.walk.advance() {
                // SAFETY: the caller's promise.
                unsafe { self.resolve() };
            }
        }
        cp_async::commit();
    }
}
