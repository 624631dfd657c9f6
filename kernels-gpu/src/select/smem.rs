//! The plan of a block's shared memory, whose size follows from it.

use super::{bound::Bins, config::Tile, histogram::BINS, leader::TIES, strands::STRANDS};
use crate::simt::{
    Shared,
    thread::{self, thread_index},
};

/// The most blocks of a cluster.
pub const MAX_BLOCKS: u32 = 8;

/// Byte offsets of the regions of a block's shared memory, each aligned to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the block has found, a word of 16 bytes: see `candidates`.
    pub state: u32,
    /// How many candidates of each map are listed as ties, `[2]` u32.
    pub tied: u32,
    /// Whether the leader refuses to choose, u32.
    pub refused: u32,
    /// Bins of each map's scores, `[2, bins]` u32.
    pub bins: u32,
    /// Bins of each map's candidates, `[2, bins]` u32.
    pub leader_bins: u32,
    /// Bytes of all that, which are zeroed first.
    pub cleared: u32,
    /// The states of the cluster's blocks, `[blocks]` words of 16 bytes.
    pub told: u32,
    /// The bin of the last one wanted of each map, `[2]` words of 16 bytes.
    pub last: u32,
    /// The digit that a pass ends with, a word of 16 bytes.
    pub found: u32,
    /// Sums of what each warp has read, `[warps]` u32.
    pub warp_sums: u32,
    /// Positions that each warp of the cluster has chosen, `[blocks, warps]` u32.
    pub chosen: u32,
    /// Each map's candidates that are in the bin of the last one wanted, `[2, ties]` words of 16 bytes.
    pub ties: u32,
    /// The first groups of the block's listed strands, u32; then the chosen units, ascending.
    pub strands: u32,
    /// Which units are chosen, `[words]` u32 of a bit each.
    pub bits: u32,
    /// Words of bits.
    pub words: u32,
    /// The candidates of all blocks, `[room]` words of 16 bytes.
    pub candidates: u32,
    /// How many chosen units there are before those of each word of bits, `[words]` u16, in place of all bins, or behind the
    /// chosen units.
    pub places: u32,
    /// Candidates that there is room for, in all blocks' equal shares.
    pub room: u32,
    /// How many units of the whole sequence have each digit, `[2, digits]` u32, in place of the candidates: the passes take
    /// turns.
    pub totals: u32,
    /// How many of the block's own have, `[digits]` u32; where one block has the sequence, the totals serve.
    pub own: u32,
    /// Bytes of totals and own.
    pub digits: u32,
    /// Bytes in all.
    pub bytes: u32,
}

impl Plan {
    /// The plan of a block of a configuration.
    #[inline(always)]
    #[must_use]
    pub const fn new(tile: Tile) -> Self {
        let tied = 16;
        let bins = tied + 16;
        let leader_bins = bins + 2 * Bins::BYTES;
        let cleared = leader_bins + 2 * Bins::BYTES;
        let told = cleared;
        let last = told + tile.max_blocks() * 16;
        let found = last + 2 * 16;
        let warp_sums = found + 16;
        let chosen = warp_sums + tile.warps * 4;
        let ties = (chosen + tile.max_blocks() * tile.warps * 4).next_multiple_of(16);
        let strands = ties + 2 * TIES * 16;
        // 262,144 units for the largest blocks, which have a multiprocessor to themselves; else 131,072.
        let words = if tile.warps == 32 { 8192 } else { 4096 };
        // Runs of high scores give up to four times what is looked for: of 512 positions, a quarter by the draft's map. The
        // smallest blocks share a multiprocessor.
        let room = match (tile.clustered, tile.warps) {
            (false, _) => 2048,
            (true, 8) => 4096,
            _ => 6144,
        };
        let in_bins = 2 * words <= 4 * Bins::BYTES;
        let listed = STRANDS as u32 * tile.threads() * 4;
        let chosen_units = room * 4 + if in_bins { 0 } else { 2 * words };
        let bits = strands + if listed > chosen_units { listed } else { chosen_units };
        let candidates = bits + words * 4;
        let places = if in_bins { bins } else { strands + 4 * room };
        let totals = candidates;
        let own = totals + 2 * BINS * 4;
        let digits = if tile.clustered { 3 } else { 2 } * BINS * 4;
        let bytes = candidates + room * 16;
        Self {
            state: 0,
            tied,
            refused: tied + 8,
            bins,
            leader_bins,
            cleared,
            told,
            last,
            found,
            warp_sums,
            chosen,
            ties,
            strands,
            bits,
            words,
            candidates,
            places,
            room,
            totals,
            own,
            digits,
            bytes,
        }
    }

    /// Zeroes what is counted in first, which may be used behind the block's next barrier. All threads of the block, `threads`,
    /// take part.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn clear(&self, threads: u32) {
        zero(0, self.cleared, threads);
    }

    /// Zeroes the counts of digits, likewise.
    #[cfg_attr(target_arch = "nvptx64", inline(always))]
    pub(super) fn clear_digits(&self, threads: u32) {
        zero(self.totals, self.digits, threads);
    }
}

/// Zeroes `bytes` of the block's shared memory from `offset` on, by `threads` threads. Both are multiples of 16.
#[cfg_attr(target_arch = "nvptx64", inline(always))]
pub(super) fn zero(offset: u32, bytes: u32, threads: u32) {
    let mut word = thread_index();
    while word < bytes / 16 {
        // SAFETY: the plan has room for them; each word is one thread's.
        unsafe { Shared::<[u32; 4]>::at(offset).store(word, [0; 4]) };
        word = thread::opaque(word + threads);
    }
}
