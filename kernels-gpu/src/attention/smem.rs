//! The plan of a block's shared memory, whose size follows from it.

use super::config::Tile;

/// Byte offsets of the regions of a block's shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Slots of gathered keys and values, `[stages, tokens, head_dim]` 16-bit items, rows swizzled; after the last
    /// tile the output, `[query columns, output_stride]` fp32.
    pub ring: u32,
    /// Bytes of one slot.
    pub slot: u32,
    /// Queries, `[query columns, head_dim]` 16-bit items, rows swizzled.
    pub query: u32,
    /// Probabilities of a tile, `[tokens, probability_stride]` 16-bit items.
    pub probabilities: u32,
    /// Items from one token's probabilities to the next: an odd number of 16-byte words, so that eight rows lie in
    /// eight different groups of banks.
    pub probability_stride: u32,
    /// Offsets of the tokens' rows in the caches, `[offset_tiles, tokens]` u64.
    pub offsets: u32,
    /// First query column that sees each token, `[offset_tiles, tokens]` u32.
    pub thresholds: u32,
    /// Tiles of offsets and thresholds held at a time.
    pub offset_tiles: u32,
    /// Running maximum of each query column, `[query columns]`, floats as ordered integers.
    pub maxima: u32,
    /// Sum of the probabilities that each warp has seen, `[warps, query columns]` fp32.
    pub sums: u32,
    /// Floats from one column's output to the next.
    pub output_stride: u32,
    /// Bytes in all.
    pub bytes: u32,
}

impl Plan {
    /// The plan of `tile` for heads of `head_dim`.
    #[must_use]
    pub const fn new(tile: Tile, head_dim: u32) -> Self {
        let columns = tile.query_columns();
        let slot = tile.tokens() * head_dim * 2;
        let output_stride = head_dim + 4;
        let staged = columns * output_stride * 4;
        let gathered = tile.stages * slot;
        let ring = if staged > gathered { staged } else { gathered };
        let probability_stride = 8 * (tile.columns | 1);
        let offset_tiles = tile.stages / 2 + 1;

        let query = ring;
        let probabilities = query + columns * head_dim * 2;
        let offsets = probabilities + tile.tokens() * probability_stride * 2;
        let thresholds = offsets + offset_tiles * tile.tokens() * 8;
        let maxima = thresholds + offset_tiles * tile.tokens() * 4;
        let sums = maxima + columns * 4;
        let bytes = sums + tile.warps * columns * 4;
        Self {
            ring: 0,
            slot,
            query,
            probabilities,
            probability_stride,
            offsets,
            thresholds,
            offset_tiles,
            maxima,
            sums,
            output_stride,
            bytes,
        }
    }
}

/// The byte offset of 16-byte word `word` of row `row` of an array of 16-bit items, `head_dim` to a row. The word's
/// place is exchanged by the row's number, so that the same word of eight rows lies in eight groups of banks.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
#[must_use]
pub const fn swizzled(row: u32, word: u32, head_dim: u32) -> u32 {
    row * head_dim * 2 + ((word ^ (row % 8)) * 16)
}
