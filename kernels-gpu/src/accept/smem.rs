//! The plan of a block's shared memory.

/// The most rows of a sequence.
pub const MAX_ROWS: u32 = 64;

/// Byte offsets of the regions of a block's shared memory, each aligned to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Figures of each row of the target's scores, words of 16 bytes.
    pub target: u32,
    /// Figures of the draft's scores behind each row, likewise.
    pub draft: u32,
    /// What each row drafts, likewise.
    pub drafted: u32,
    /// What each warp hands to all others, u64: two times, since one is read while the next is written.
    pub values: [u32; 2],
    /// Bytes in all.
    pub bytes: u32,
}

impl Plan {
    /// The plan of a block of `warps` warps.
    #[inline(always)]
    #[must_use]
    pub const fn new(warps: u32) -> Self {
        let rows = 16 * MAX_ROWS;
        let values = 3 * rows;
        let of_warps = (8 * warps).next_multiple_of(16);
        Self {
            target: 0,
            draft: rows,
            drafted: 2 * rows,
            values: [values, values + of_warps],
            bytes: values + 2 * of_warps,
        }
    }
}
