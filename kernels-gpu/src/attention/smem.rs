//! The plan of a block's shared memory, whose size follows from it.

use super::config::Tile;

/// The most splits that a cluster merges: as many blocks as a cluster can have on every device that has clusters.
pub const MAX_CLUSTER: u32 = 8;

/// Byte offsets of the regions of a block's shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For each team a ring of gathered steps, `[stages, keys and values, step, head_dim]` 16-bit items, rows swizzled; after
    /// its last step the team's output, `[query columns, output_stride]` fp32.
    pub ring: u32,
    /// Bytes from one team's ring to the next.
    pub team: u32,
    /// Bytes of one slot.
    pub slot: u32,
    /// Queries, `[query columns, head_dim]` 16-bit items, rows swizzled.
    pub query: u32,
    /// Places of the tokens' rows in the caches, `[teams, token_steps, step]` u32; after its last step a team's bases and sums,
    /// `[query columns, 2]` fp32.
    pub places: u32,
    /// What each token is, `[teams, token_steps, step]` u32: hidden, confirmed, or one of a step of own rows.
    pub origins: u32,
    /// Steps whose places and origins are held: those that are looked up first, one of own rows and the one before, a power
    /// of two.
    pub token_steps: u32,
    /// Each column's row and head, and which of the step's own rows it sees, `[query columns]` 16 bytes.
    pub columns: u32,
    /// Floats from one column's output to the next: the pairs that a half of a warp stores lie in different banks.
    pub output_stride: u32,
    /// Bytes in all of a block whose splits are no cluster.
    pub bytes: u32,
    /// What the splits of a cluster send to the pieces' owner: outputs, `[exchanged, head_dim]` fp32, then bases and sums, `[exchanged, 2]`
    /// fp32.
    pub exchange: u32,
    /// Pieces of columns that an owner is sent at the most: one of each split for each of its columns.
    pub exchanged: u32,
    /// Bytes in all of a block of a cluster.
    pub cluster_bytes: u32,
}

impl Plan {
    /// The plan of `tile` for heads of `head_dim`.
    #[must_use]
    pub const fn new(tile: Tile, head_dim: u32) -> Self {
        let columns = tile.query_columns();
        let slot = 2 * tile.step_tokens() * head_dim * 2;
        let output_stride = head_dim + 8;
        let staged = columns * output_stride * 4;
        let gathered = tile.stages * slot;
        let team = if staged > gathered { staged } else { gathered };

        let query = tile.teams * team;
        let places = query + columns * head_dim * 2;
        let token_steps = (tile.first_steps() + 2).next_power_of_two();
        let tokens = tile.teams * token_steps * tile.step_tokens();
        let origins = places + tokens * 4;
        let notes = origins + tokens * 4;
        let bytes = notes + columns * 16;
        let exchanged = columns + MAX_CLUSTER - 1;
        let cluster_bytes = bytes + exchanged * (2 + head_dim) * 4;
        Self {
            ring: 0,
            team,
            slot,
            query,
            places,
            origins,
            token_steps,
            columns: notes,
            output_stride,
            bytes,
            exchange: bytes,
            exchanged,
            cluster_bytes,
        }
    }
}

/// The byte offset of 16-byte word `word` of row `row` of an array of `rows` rows of 16-bit items. It lies in panels of 8 words, each
/// with all of the rows; the word's place in its panel is exchanged by the row's number, so that the same word of eight rows lies
/// in eight groups of banks. That is how [`wgmma`](crate::simt::wgmma) reads.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
#[must_use]
pub const fn swizzled(row: u32, word: u32, rows: u32) -> u32 {
    word / PANEL_WORDS * rows * PANEL + row * PANEL + ((word % PANEL_WORDS) ^ (row % 8)) * 16
}

/// Bytes of a row in one panel.
pub const PANEL: u32 = 128;

/// Words of 16 bytes of a row in one panel.
const PANEL_WORDS: u32 = PANEL / 16;
