//! What the launches of acceptance are told. Strides count items (elements, not bytes).

use crate::simt::Global;

/// Item types of scores, as [`Scores::dtype`] holds them.
pub mod dtype {
    /// f32.
    pub const F32: u32 = 0;
    /// bfloat16.
    pub const BF16: u32 = 1;
    /// IEEE half precision.
    pub const F16: u32 = 2;
}

/// What scores say of a token, as [`Scores::kind`] holds it.
pub mod kind {
    /// Logits: a token's weight is `exp(logit / temperature)`.
    pub const LOGITS: u32 = 0;
    /// Probabilities: weights by themselves. The temperature only says whether the sequence is greedy.
    pub const PROBABILITIES: u32 = 1;
}

/// How drafts were drawn, as [`Params::proposal`] holds it.
pub mod proposal {
    /// Each is certain: there are no scores of the draft.
    pub const CERTAIN: u32 = 0;
    /// Those of a node independently from the draft's distribution.
    pub const INDEPENDENT: u32 = 1;
    /// Those of a node from the draft's distribution without replacement.
    pub const WITHOUT_REPLACEMENT: u32 = 2;
}

/// Rows of scores of one model, `[rows, vocabulary]`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Scores {
    /// The address of the first row, a multiple of an item's size.
    pub address: u64,
    /// Items from one row to the next.
    pub row_stride: u64,
    /// Rows.
    pub rows: u32,
    /// [`dtype`] of the items.
    pub dtype: u32,
    /// [`kind`] of the scores.
    pub kind: u32,
}

/// The arguments of both kernels of acceptance.
///
/// What only the device knows is checked there: what is at fault counts as not there, and is reported through
/// [`Params::status`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The target's scores of all rows: those of a row are of the token behind it.
    pub target: Scores,
    /// The draft's scores; without address where [`Params::proposal`] is certain.
    pub draft: Scores,
    /// The row of the draft's scores that the drafts behind each row were drawn from, `[total_rows]`; negative: nothing is behind
    /// it. Null: those behind row `r` of sequence `b` from row `b · (row_capacity - 1) + r`, but for the sequence's last row.
    pub draft_rows: Global<i32>,
    /// The token of each row, `[total_rows]`; not looked at for the first row of a sequence.
    pub tokens: Global<i32>,
    /// The row that each row continues, counted from the sequence's first, `[total_rows]`: -1 for the first row, else a row
    /// before. Null: the row before.
    pub parents: Global<i32>,
    /// First row of each sequence and, last, the number of rows, `[batch + 1]`, ascending.
    pub row_starts: Global<i32>,
    /// Temperature of each sequence, `[batch]`; 0: greedy.
    pub temperatures: Global<f32>,
    /// Seed of each sequence, `[batch]`.
    pub seeds: Global<u64>,
    /// How many steps have been taken, one item: `accept_rows` adds one before `accept_walk` draws.
    pub step: Global<u64>,
    /// Confirmed lengths, `[batch]`; null unless `new_lengths` is written.
    pub lengths: Global<i32>,
    /// Drafts that each sequence accepts, `[batch]`.
    pub accepted: Global<i32>,
    /// The accepted drafts' tokens and, behind them, the next one, `[batch, row_capacity]`; -1 behind that.
    pub emitted: Global<i32>,
    /// Items from one sequence's emitted tokens to the next's.
    pub emitted_stride: u64,
    /// The rows of the walk, from row 0, `[batch, row_capacity]`; -1 behind them.
    pub accepted_rows: Global<i32>,
    /// Items from one sequence's path to the next.
    pub accepted_rows_stride: u64,
    /// The last row of each path, `[batch]`; -1 for a sequence without rows.
    pub last_rows: Global<i32>,
    /// Confirmed lengths and, on top, the rows of the path, `[batch]`; or null. May be `lengths`.
    pub new_lengths: Global<i32>,
    /// Figures of the target's rows, `[total_rows, chunks]`; see `chunk`.
    pub target_chunks: Global<[u32; 4]>,
    /// Figures of the draft's, in the place of the row that the drafts are behind, `[total_rows, chunks]`.
    pub draft_chunks: Global<[u32; 4]>,
    /// The sticky status word: see [`Fault::word`](crate::fault::Fault::word).
    pub status: Global<u64>,
    /// Tokens.
    pub vocabulary: u32,
    /// Rows in the batch.
    pub total_rows: u32,
    /// The most rows that one sequence may have, up to 64.
    pub row_capacity: u32,
    /// Chunks of a row: the vocabulary in parts of [`CHUNK`](super::rows::CHUNK) tokens.
    pub chunks: u32,
    /// How drafts were drawn: [`proposal`].
    pub proposal: u32,
}
