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

/// Copies the tiles of a [`Walk`] into a ring. A lane looks after one token of a tile, whose page is asked for a tile ahead. A
/// token that cannot be read is replaced by the cache's first one: what it gives is not looked at.
pub(super) struct Producer<'a, const H: usize, const J: usize, const U: usize> {
    cache: &'a Cache,
    sequence: &'a Sequence,
    heads: Heads,
    ring: Ring<H, J, U>,
    walk: Walk,
    stage: u32,
    /// The sequence's table.
    table: Global<i32>,
    /// Words of 16 bytes from one page, and from one token of a page, to the next.
    strides: [u32; 2],
    /// The place of the lane's token, in words from the cache's start.
    token: u32,
    /// The page of the lane's token of the next tile.
    page: u32,
    /// Where the lane's word of the first `8 · J` tokens' copies goes, in bytes from the place in the ring.
    offsets: [u32; J],
    policy: CachePolicy,
    /// Whether a page outside the cache has been met, by whichever lane.
    pub(super) masked: bool,
}

impl<'a, const H: usize, const J: usize, const U: usize> Producer<'a, H, J, U> {
    /// Words in a token's row: so many lanes copy it.
    const WORDS: u32 = 4 * J as u32;

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
        let mut offsets = [0; J];
        for j in 0..J {
            offsets[j] = Ring::<H, J, U>::word(Self::token_copied(j), lane() % Self::WORDS);
        }
        let mut producer = Self {
            cache,
            sequence,
            heads,
            ring,
            walk,
            stage: 0,
            table: sequence.table(cache),
            // The host has checked that the cache's words can be counted in 32 bits.
            strides: [(cache.page_stride / 8) as u32, (cache.token_stride / 8) as u32],
            token: 0,
            page: 0,
            offsets,
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

    /// The token of which the lane copies a word with copy `index` of a tile.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn token_copied(index: usize) -> u32 {
        index as u32 * (WARP / Self::WORDS) + lane() / Self::WORDS
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
            Some(position) if self.exists(position) => {
                let index = (position + lane()) >> self.cache.page_shift;
                // SAFETY: the token has an entry in the sequence's table.
                unsafe { self.table.load(index.into()) }.cast_unsigned()
            }
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
        let place = (position + lane()) & ((1 << self.cache.page_shift) - 1);
        let token = self.page.wrapping_mul(self.strides[0]).wrapping_add(place.wrapping_mul(self.strides[1]));
        self.token = if exists && !outside { token } else { 0 };
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
            let keys = unsafe { self.heads.keys(self.walk.group()) } + u64::from(lane() % Self::WORDS * 16);
            let place = self.ring.place(self.stage);
            for i in 0..H * J {
                let token = shuffle::shuffle_index(self.token, Self::token_copied(i));
                let to = place + self.offsets[i % J] + Ring::<H, J, U>::word((i / J * 8) as u32, 0);
                // SAFETY: a page of the cache; the place is free.
                unsafe { cp_async::copy_16_hinted(to, keys + u64::from(token) * 16, true, self.policy) };
            }
            self.stage = if self.stage + 1 == U as u32 { 0 } else { self.stage + 1 };
            if self.walk.advance() {
                // SAFETY: the caller's promise.
                unsafe { self.resolve() };
            }
        }
        cp_async::commit();
    }
}
