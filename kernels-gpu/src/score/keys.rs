//! Keys on their way from the paged cache to registers.

use super::{heads::Group, params::Source, sequence::Sequence, smem::Plan};
use crate::{fault::Fault, simt::thread::lane};

/// Tokens in a tile.
pub(super) const TOKENS: u32 = 16;

/// What a lane holds of 16 keys of one KV head: of the tokens `lane / 4` and that plus 8, the 16-byte words
/// `lane % 4 + 4·j`.
#[derive(Clone, Copy)]
pub(super) struct Tile<const J: usize> {
    /// The tile's first position.
    pub(super) position: u32,
    /// The KV head's place in the table of groups.
    pub(super) group: u32,
    /// Whether the lane's two tokens can be read.
    pub(super) valid: [bool; 2],
    /// The words of both tokens; zero where a token cannot be read.
    pub(super) words: [[[u32; 4]; 2]; J],
}

/// Where the next tile comes from: KV head by KV head, then 16 tokens on. The page of a token is looked up one tile of
/// tokens ahead.
pub(super) struct Cursor<'a> {
    source: &'a Source,
    sequence: &'a Sequence,
    plan: &'a Plan,
    end: u32,
    position: u32,
    group: u32,
    valid: [bool; 2],
    offsets: [u64; 2],
    ahead: [i32; 2],
}

/// The page of a token that does not exist.
const NO_TOKEN: i32 = -1;

impl<'a> Cursor<'a> {
    /// The positions `begin .. end` of `sequence`.
    ///
    /// # Safety
    /// The source's arrays are as documented, and the groups are stored and visible.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn new(
        source: &'a Source,
        sequence: &'a Sequence,
        plan: &'a Plan,
        begin: u32,
        end: u32,
    ) -> Self {
        let mut cursor = Self {
            source,
            sequence,
            plan,
            end,
            position: begin,
            group: 0,
            valid: [false; 2],
            offsets: [0; 2],
            ahead: [NO_TOKEN; 2],
        };
        // SAFETY: the caller's promise.
        unsafe {
            cursor.look_up(begin);
            cursor.resolve();
            cursor.look_up(begin + TOKENS);
        }
        cursor
    }

    /// The position of the lane's token `half` of the tile at `position`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn token(position: u32, half: usize) -> u32 {
        position + lane() / 4 + 8 * half as u32
    }

    /// Asks for the pages of the tile at `position`.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    unsafe fn look_up(&mut self, position: u32) {
        for half in 0..2 {
            let token = Self::token(position, half);
            let page = token >> self.source.page_shift;
            self.ahead[half] = NO_TOKEN;
            if token < self.end && page < self.source.table_width {
                let entry = u64::from(self.sequence.index) * self.source.table_stride + u64::from(page);
                // SAFETY: the entry is one of the sequence's table.
                self.ahead[half] = unsafe { self.source.block_table.load(entry) };
                if self.ahead[half] < 0 || self.ahead[half] >= self.source.pages as i32 {
                    self.sequence.report(Fault::Page);
                    self.ahead[half] = NO_TOKEN;
                }
            }
        }
    }

    /// Makes the pages that were asked for those of the tile at the cursor.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    fn resolve(&mut self) {
        for half in 0..2 {
            let token = Self::token(self.position, half);
            let place = token & ((1 << self.source.page_shift) - 1);
            self.valid[half] = self.ahead[half] >= 0;
            self.offsets[half] = u64::from(self.ahead[half].cast_unsigned()) * self.source.page_stride
                + u64::from(place) * self.source.token_stride
                + u64::from(lane() % 4 * 8);
        }
    }

    /// Asks for the tile at the cursor, and moves on.
    ///
    /// # Safety
    /// As [`Cursor::new`].
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) unsafe fn next<const J: usize>(&mut self) -> Tile<J> {
        let mut tile =
            Tile { position: self.position, group: self.group, valid: self.valid, words: [[[0; 4]; 2]; J] };
        if self.position >= self.end {
            return tile;
        }
        // SAFETY: the group is one of the source's.
        let head = unsafe { Group::load(self.plan, self.group) }.kv_head;
        let head = u64::from(head) * self.source.kv_head_stride;
        for half in 0..2 {
            if self.valid[half] {
                let first = (self.offsets[half] + head) / 8;
                for j in 0..J {
                    // SAFETY: the page is one of the cache's.
                    tile.words[j][half] = unsafe { self.source.key.words().load_once(first + 4 * j as u64) };
                }
            }
        }
        self.group += 1;
        if self.group == self.source.kv_groups {
            self.group = 0;
            self.position += TOKENS;
            self.resolve();
            // SAFETY: the caller's promise.
            unsafe { self.look_up(self.position + TOKENS) };
        }
        tile
    }
}
