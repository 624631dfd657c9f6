//! Keys on their way from the paged cache to the tensor cores.
//!
//! A tile is `8 · H` keys of one KV head in a place of its warp's own ring in shared memory. The lanes copy whole rows, side
//! by side, so that memory sees whole lines; as operands they take, of every eighth token from `lane / 4` on, the 16-byte
//! words `lane % 4 + 4·j`.

use super::{heads::Group, layout, params::Source, sequence::Sequence, smem::Plan};
use crate::{
    fault::Fault,
    simt::{
        Shared, WARP,
        cp_async::{self, CachePolicy},
        shuffle,
        thread::{lane, warp},
        vote,
    },
};

/// The chunks of one warp.
#[derive(Clone, Copy)]
pub(super) struct Chunks {
    /// The first one's number.
    pub(super) first: u32,
    /// Tokens of the sequence.
    pub(super) length: u32,
    /// Tokens in each chunk but the last.
    pub(super) tokens: u32,
    /// From one of the warp's chunks to the next.
    pub(super) stride: u32,
}

impl Chunks {
    /// First and last position, plus one, of chunk `chunk`; nothing behind the last.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn range(&self, chunk: u32) -> Option<(u32, u32)> {
        // No chunk number is so high that its begin wraps: a stride is less than the most chunks and threads of a launch.
        let begin = chunk * self.tokens;
        (chunk < layout::MAX_CHUNKS && begin < self.length)
            .then(|| (begin, (begin + self.tokens).min(self.length)))
    }
}

/// Stands for the place of a token that cannot be read.
const MASKED: u32 = u32::MAX;

/// Copies tile after tile into a ring of `U` places: KV head by KV head, then on along the tokens, then on to the warp's
/// next chunk.
///
/// A sequence's table passes through the warp in windows of 32 pages, a page to each lane; the window behind the one in
/// use is on its way, so that no tile waits for its pages.
pub(super) struct Producer<'a, const H: usize, const J: usize, const U: usize> {
    source: &'a Source,
    sequence: &'a Sequence,
    plan: &'a Plan,
    chunks: Chunks,
    chunk: u32,
    position: u32,
    /// End of the chunk; 0 when there are no more.
    end: u32,
    group: u32,
    slot: u32,
    /// The places of every eighth token from `lane / 4` on, in words of 16 bytes from the cache's start.
    tokens: [u32; H],
    policy: CachePolicy,
    window: u32,
    pages: [u32; 2],
    /// Whether a page outside the cache has been met, by whichever lane.
    pub(super) masked: bool,
}

impl<'a, const H: usize, const J: usize, const U: usize> Producer<'a, H, J, U> {
    /// Tokens in a tile.
    pub(super) const TOKENS: u32 = 8 * H as u32;

    /// Begins with the warp's first chunk. All 32 lanes take part, here and in every tile.
    ///
    /// # Safety
    /// The source's arrays are as documented, and the groups are stored and visible.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn new(
        source: &'a Source,
        sequence: &'a Sequence,
        plan: &'a Plan,
        chunks: Chunks,
    ) -> Self {
        let (position, end) = chunks.range(chunks.first).unwrap_or((0, 0));
        let mut producer = Self {
            source,
            sequence,
            plan,
            chunks,
            chunk: chunks.first,
            position,
            end,
            group: 0,
            slot: 0,
            tokens: [MASKED; H],
            policy: CachePolicy::evict_first(),
            window: (position >> source.page_shift) / WARP,
            pages: [0; 2],
            masked: false,
        };
        // SAFETY: the caller's promise.
        unsafe {
            producer.pages[0] = producer.look_up(producer.window, end);
            producer.pages[1] = producer.look_up_next();
            producer.resolve();
        }
        producer
    }

    /// The calling lane's page of window `window` of a chunk that ends at `end`; 0 where the chunk ends before it, or the
    /// table.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn look_up(&self, window: u32, end: u32) -> u32 {
        let index = window * WARP + lane();
        if index < self.source.table_width && index << self.source.page_shift < end {
            let entry = u64::from(self.sequence.index) * self.source.table_stride + u64::from(index);
            // SAFETY: the entry is one of the sequence's table.
            unsafe { self.source.block_table.load(entry) }.cast_unsigned()
        } else {
            0
        }
    }

    /// The calling lane's page of the window that is needed next.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn look_up_next(&self) -> u32 {
        let last = (self.end.wrapping_sub(1) >> self.source.page_shift) / WARP;
        // SAFETY: the caller's promise.
        unsafe {
            if self.window < last {
                self.look_up(self.window + 1, self.end)
            } else if let Some((begin, end)) = self.chunks.range(self.chunk + self.chunks.stride) {
                self.look_up((begin >> self.source.page_shift) / WARP, end)
            } else {
                0
            }
        }
    }

    /// Finds the tokens of the tile at hand.
    ///
    /// # Safety
    /// As [`Producer::new`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn resolve(&mut self) {
        let shift = self.source.page_shift;
        for h in 0..H {
            let token = self.position + lane() / 4 + 8 * h as u32;
            let index = token >> shift;
            let page = shuffle::shuffle_index(self.pages[0], index % WARP);
            let exists = token < self.end && index < self.source.table_width;
            let outside = exists && page >= self.source.pages;
            if outside {
                self.sequence.report(Fault::Page);
            }
            self.masked |= vote::ballot(outside) != 0;
            let items = u64::from(page) * self.source.page_stride
                + u64::from(token & ((1 << shift) - 1)) * self.source.token_stride;
            // The host has checked that the cache's words can be counted in 32 bits.
            self.tokens[h] = if exists && page < self.source.pages { (items / 8) as u32 } else { MASKED };
        }
    }

    /// Moves on along the tokens.
    ///
    /// # Safety
    /// As [`Producer::new`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn advance(&mut self) {
        self.group = 0;
        self.position += Self::TOKENS;
        let mut moved = false;
        if self.position >= self.end {
            self.chunk += self.chunks.stride;
            (self.position, self.end) = self.chunks.range(self.chunk).unwrap_or((0, 0));
            moved = true;
        }
        // A tile starts at a multiple of its tokens, and so lies in one window.
        let window = (self.position >> self.source.page_shift) / WARP;
        if moved || window != self.window {
            self.window = window;
            // SAFETY: the caller's promise.
            self.pages = [self.pages[1], unsafe { self.look_up_next() }];
        }
        // SAFETY: the caller's promise.
        unsafe { self.resolve() };
    }

    /// Starts to copy the next tile, if there is one, as one more group of copies.
    ///
    /// # Safety
    /// As [`Producer::new`]; the warp has taken what the tile's place held.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn next(&mut self) {
        if self.position < self.end {
            // SAFETY: the group is one of the source's.
            let head = unsafe { Group::load(self.plan, self.group) }.kv_head;
            let head = (u64::from(head) * self.source.kv_head_stride / 8) as u32;
            let (row, column) = (lane() / (4 * J as u32), lane() % (4 * J as u32));
            for h in 0..H {
                for i in 0..J as u32 {
                    let token = i * 8 / J as u32 + row;
                    let word = shuffle::shuffle_index(self.tokens[h], 4 * token);
                    let valid = word != MASKED;
                    let from =
                        self.source.key.words().item(u64::from(if valid { word + head + column } else { 0 }));
                    let to = place::<H, J, U>(self.plan, self.slot, 8 * h as u32 + token, column);
                    // SAFETY: a page of the cache, or nothing is read; the place is free.
                    unsafe { cp_async::copy_16_hinted(to, from, valid, self.policy) };
                }
            }
            self.slot = (self.slot + 1) % U as u32;
            self.group += 1;
            if self.group == self.source.kv_groups {
                // SAFETY: the caller's promise.
                unsafe { self.advance() };
            }
        }
        cp_async::commit();
    }
}

/// The place of 16-byte word `word` of token `token` in place `slot` of the warp's ring. Every other token's words are
/// exchanged by fours, so that the words which the lanes of a quarter of the warp take at a time lie in different banks. A
/// whole line of 128 bytes stays one: copies that scatter it reach the L2 cache as twice as many requests.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn place<const H: usize, const J: usize, const U: usize>(
    plan: &Plan,
    slot: u32,
    token: u32,
    word: u32,
) -> u32 {
    let words = 4 * J as u32;
    let tile = (warp() * U as u32 + slot) * 8 * H as u32 * words;
    Shared::<u32>::at(plan.keys).byte((tile + token * words + (word ^ (token % 2 * 4))) * 16)
}
