//! The order in which a warp works through its tiles.

use super::{layout, sequence::Sequence};
use crate::simt::thread::{block_x, grid_x, warp};

/// Chunk by chunk, in a chunk tokens by tokens, of the same tokens KV head by KV head.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    chunks: Chunks,
    /// KV heads.
    groups: u32,
    /// Tokens in a tile.
    tokens: u32,
    chunk: u32,
    position: u32,
    end: u32,
    group: u32,
}

/// The chunks of one warp.
#[derive(Clone, Copy)]
pub(super) struct Chunks {
    /// The first one's number.
    pub(super) first: u32,
    /// Tokens of the sequence.
    length: u32,
    /// Tokens in each chunk but the last.
    tokens: u32,
    /// From one of the warp's chunks to the next.
    pub(super) stride: u32,
}

impl Chunks {
    /// Those of the calling warp, where the grid's blocks along x have `warps` each.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn of_warp(sequence: &Sequence, warps: u32) -> Self {
        Self {
            first: block_x() * warps + warp(),
            length: sequence.length,
            tokens: layout::chunk_tokens(sequence.length),
            stride: grid_x() * warps,
        }
    }

    /// First and last position, plus one, of chunk `chunk`; nothing behind the last.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn range(&self, chunk: u32) -> Option<(u32, u32)> {
        // Where the number is below the most chunks, its first position does not wrap.
        let begin = chunk.wrapping_mul(self.tokens);
        (chunk < layout::MAX_CHUNKS && begin < self.length)
            .then(|| (begin, (begin + self.tokens).min(self.length)))
    }
}

impl Walk {
    /// From the first chunk's first tile on.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn new(chunks: Chunks, groups: u32, tokens: u32) -> Self {
        let (position, end) = chunks.range(chunks.first).unwrap_or((0, 0));
        Self { chunks, groups, tokens, chunk: chunks.first, position, end, group: 0 }
    }

    /// The first position of the tile at hand; nothing behind the last tile.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn position(&self) -> Option<u32> {
        (self.position < self.end).then_some(self.position)
    }

    /// The KV head of the tile at hand: its place in the table of groups.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn group(&self) -> u32 {
        self.group
    }

    /// The first position of the tokens behind those at hand; nothing behind the last.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn ahead(&self) -> Option<u32> {
        if self.position + self.tokens < self.end {
            Some(self.position + self.tokens)
        } else {
            self.chunks.range(self.chunk + self.chunks.stride).map(|(begin, _)| begin)
        }
    }

    /// Moves on to the next tile. Whether its tokens are others.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn advance(&mut self) -> bool {
        self.group += 1;
        if self.group < self.groups {
            return false;
        }
        self.group = 0;
        self.position += self.tokens;
        if self.position >= self.end {
            self.chunk += self.chunks.stride;
            (self.position, self.end) = self.chunks.range(self.chunk).unwrap_or((0, 0));
        }
        true
    }
}
