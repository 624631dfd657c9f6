//! A step's arrays in host memory: what [`StepBuffers`](crate::verifier::StepBuffers) and its companions name by address. 16-bit
//! items as their bits.

use crate::{
    accept::arrays::{AcceptStrides, ScoreItems},
    cache::append::arrays::AppendStrides,
};

/// A step's arrays that do not depend on the layer. An array that the verifier has no use for is empty.
///
/// A batch of fewer sequences than the limits' has sequences of length 0, without rows, of slot -1 behind them.
#[derive(Clone, Copy, Debug)]
pub struct StepArrays<'a> {
    /// Confirmed lengths, `[batch]`.
    pub lengths: &'a [i32],
    /// First row of each sequence and, last, the number of rows, `[batch + 1]`.
    pub row_starts: &'a [i32],
    /// Physical page numbers of the target's caches, `[batch, table_width]`.
    pub block_table: &'a [i32],
    /// Items from one sequence's block table to the next.
    pub table_stride: u64,
    /// First position of each sequence's part of the maps and, last, the end, `[batch + 1]`. Each part is at least as long as the
    /// sequence, and all are within `max_total_tokens`.
    pub map_starts: &'a [i32],
    /// The slot of each sequence's captured target query, `[batch]`; negative where there is none.
    pub slots: &'a [i32],
    /// What the draft's map is gathered from besides.
    pub draft: DraftArrays<'a>,
    /// Rows that each row sees, `[batch · rows]`; empty unless the mask is a tree.
    pub masks: &'a [u64],
}

/// What of a step's arrays is the draft model's.
#[derive(Clone, Copy, Debug, Default)]
pub struct DraftArrays<'a> {
    /// Tokens of each sequence that its caches hold and the map covers, `[batch]`: the target's confirmed lengths.
    pub lengths: &'a [i32],
    /// Physical page numbers of its caches, `[batch, table_width]`.
    pub block_table: &'a [i32],
    /// Items from one sequence's block table to the next.
    pub table_stride: u64,
    /// The slot of each sequence's captured draft queries, `[batch]`. Nothing: every sequence has the slot of its own number.
    pub slots: Option<&'a [i32]>,
}

/// The step's own rows of one layer, as its projections leave them.
#[derive(Clone, Copy, Debug)]
pub struct AppendRowArrays<'a> {
    /// Keys of the rows after rotary embedding.
    pub key: &'a [u16],
    /// Values of the rows.
    pub value: &'a [u16],
    /// Queries of the rows; empty unless appending copies them.
    pub query: &'a [u16],
    /// Distances between rows.
    pub strides: AppendStrides,
}

/// The sets that attention reads.
#[derive(Clone, Copy, Debug)]
pub struct SetArrays<'a> {
    /// Positions, or slots where attention reads these, `[batch, k]`.
    pub set: &'a [i32],
    /// Their sizes, `[batch]`.
    pub set_sizes: &'a [i32],
}

/// What one layer's attention reads besides.
#[derive(Clone, Copy, Debug)]
pub struct AttentionRowArrays<'a> {
    /// Queries of the rows after rotary embedding.
    pub query: &'a [u16],
    /// The layer's key cache.
    pub key: &'a [u16],
    /// The layer's value cache.
    pub value: &'a [u16],
    /// Items from one query row to the next.
    pub query_row: u64,
    /// Items from one query head to the next.
    pub query_head: u64,
    /// Items from one output row to the next.
    pub output_row: u64,
    /// Items from one output head to the next.
    pub output_head: u64,
}

/// What acceptance reads, beside lengths and first rows. Shapes are those of
/// [`AcceptanceBuffers`](crate::verifier::AcceptanceBuffers).
#[derive(Clone, Copy, Debug)]
pub struct AcceptanceArrays<'a> {
    /// The target's scores of the rows.
    pub target: ScoreItems<'a>,
    /// The draft's scores, if the problem has them.
    pub draft: Option<ScoreItems<'a>>,
    /// The row of the draft's scores that the drafts behind each row were drawn from, given where there are such scores and the mask
    /// is a tree.
    pub draft_rows: Option<&'a [i32]>,
    /// The token of each row.
    pub tokens: &'a [i32],
    /// The row that each row continues, given where the mask is a tree.
    pub parents: Option<&'a [i32]>,
    /// Temperature of each sequence.
    pub temperatures: &'a [f32],
    /// Seed of each sequence.
    pub seeds: &'a [u64],
    /// How many steps have been taken before this one.
    pub step: u64,
    /// Distances between rows, also of what is written.
    pub strides: AcceptStrides,
}

/// Which of the step's own rows were accepted.
#[derive(Clone, Copy, Debug)]
pub struct AcceptedArrays<'a> {
    /// The accepted rows of each sequence, `[batch, γ + 1]`: numbers of its own rows, from 0, ascending. Where the verifier accepts,
    /// `[batch, rows]`, with -1 behind the last.
    pub rows: &'a [i32],
    /// Items from one sequence's list to the next.
    pub stride: u64,
    /// Rows in each list, `[batch]`; empty where the verifier accepts.
    pub counts: &'a [i32],
}

/// One layer's queries, of which some are captured: of a step's rows, of a forward of the draft, or of prompts.
#[derive(Clone, Copy, Debug)]
pub struct CaptureRowArrays<'a> {
    /// Queries of the rows after rotary embedding.
    pub query: &'a [u16],
    /// Items from one row to the next.
    pub query_row: u64,
    /// Items from one query head to the next.
    pub query_head: u64,
    /// Rows of the array.
    pub total_rows: u32,
    /// First row of each sequence and, last, the number of rows, `[batch + 1]`.
    pub row_starts: &'a [i32],
    /// The row to capture of each sequence, counted from its first, `[batch]`: acceptance's last rows. Nothing: each sequence's last.
    pub rows: Option<&'a [i32]>,
    /// The slot of each sequence, `[batch]`, of which no two are the same; negative: nothing is captured. Nothing: every sequence has
    /// the slot of its own number.
    pub slots: Option<&'a [i32]>,
}
