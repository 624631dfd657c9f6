//! The device addresses of what follows a step's attention: which rows are accepted, and what of them the next step needs.

use super::{
    buffers::{Memory, StepBuffers},
    plan::VerifierPlan,
};
use crate::{
    accept::{arrays::AcceptStrides, launch::AcceptBuffers},
    cache::{capture::launch::CaptureBuffers, compact::launch::CompactBuffers},
    verifier::Captured,
};

/// What acceptance reads and writes, beside lengths and first rows. An array that the problem does not ask for is 0.
#[derive(Clone, Copy, Debug)]
pub struct AcceptanceBuffers {
    /// The target's scores of the rows, `[batch · rows, vocabulary]`; aligned to an item, as are the draft's.
    pub target: u64,
    /// The draft's scores, `[draft rows, vocabulary]`. Of a chain those that a sequence's drafts were drawn from lie one behind the
    /// other, from `rows - 1` times the sequence's number on.
    pub draft: u64,
    /// The row of the draft's scores that the drafts behind each row were drawn from, i32 `[batch · rows]`; 0 unless there are such
    /// scores and the mask is a tree.
    pub draft_rows: u64,
    /// The token of each row, i32 `[batch · rows]`.
    pub tokens: u64,
    /// The row that each row continues, counted from its sequence's first, i32 `[batch · rows]`, -1 for the first; 0 unless the mask
    /// is a tree.
    pub parents: u64,
    /// Temperature of each sequence, f32 `[batch]`; a 0 in it: greedy.
    pub temperatures: u64,
    /// Seed of each sequence, u64 `[batch]`.
    pub seeds: u64,
    /// How many steps have been taken, one u64, which each launch counts on.
    pub step: u64,
    /// Accepted drafts of each sequence, i32 `[batch]`.
    pub accepted: u64,
    /// Their tokens and, last, the next pending one, i32 `[batch, rows]`; -1 behind it.
    pub emitted: u64,
    /// Accepted rows, the pending token's first, i32 `[batch, rows]`; -1 behind them.
    pub path: u64,
    /// The last of them, i32 `[batch]`; -1 for a sequence without rows.
    pub last_rows: u64,
    /// Confirmed lengths behind the step, i32 `[batch]`. Compaction reads the step's own ones, so that these stand elsewhere where it
    /// follows.
    pub new_lengths: u64,
    /// Distances between rows.
    pub strides: AcceptStrides,
}

impl AcceptanceBuffers {
    /// The accepted rows as compaction reads them.
    #[must_use]
    pub const fn accepted(&self) -> AcceptedBuffers {
        AcceptedBuffers { rows: self.path, stride: self.strides.path, counts: 0 }
    }
}

/// Which of the step's own rows were accepted.
#[derive(Clone, Copy, Debug)]
pub struct AcceptedBuffers {
    /// The accepted rows of each sequence, i32 `[batch, γ + 1]`: numbers of its own rows, from 0, ascending. Where the verifier accepts,
    /// `[batch, rows]`, with -1 behind the last.
    pub rows: u64,
    /// Items from one sequence's list to the next.
    pub stride: u64,
    /// Rows in each list, i32 `[batch]`; 0 where the verifier accepts.
    pub counts: u64,
}

/// One layer's queries, of which some are captured: of a step's rows, of a forward of the draft, or of prompts.
#[derive(Clone, Copy, Debug)]
pub struct CaptureRows {
    /// Queries of the rows after rotary embedding, 16-bit items; aligned to 16 bytes.
    pub query: u64,
    /// Items from one row to the next.
    pub query_row: u64,
    /// Items from one query head to the next.
    pub query_head: u64,
    /// Rows of the array.
    pub total_rows: u32,
    /// First row of each sequence and, last, the number of rows, i32 `[batch + 1]`.
    pub row_starts: u64,
    /// The row to capture of each sequence, counted from its first, i32 `[batch]`: acceptance's last rows. 0: each sequence's last
    /// row, as behind a prompt or a draft's forward.
    pub rows: u64,
    /// The slot of each sequence, i32 `[batch]`, of which no two are the same; negative: nothing is captured. 0: every sequence has
    /// the slot of its own number.
    pub slots: u64,
}

impl VerifierPlan {
    /// The buffers of the acceptance.
    pub(crate) fn acceptance_buffers(
        &self,
        step: &StepBuffers,
        own: &AcceptanceBuffers,
        (workspace, workspace_bytes): Memory,
    ) -> AcceptBuffers {
        AcceptBuffers {
            target: own.target,
            draft: own.draft,
            draft_rows: own.draft_rows,
            tokens: own.tokens,
            parents: own.parents,
            row_starts: step.row_starts,
            temperatures: own.temperatures,
            seeds: own.seeds,
            step: own.step,
            lengths: step.lengths,
            accepted: own.accepted,
            emitted: own.emitted,
            path: own.path,
            last_rows: own.last_rows,
            new_lengths: own.new_lengths,
            workspace,
            workspace_bytes,
            strides: own.strides,
        }
    }

    /// The buffers of the compaction, of layers whose addresses lie in `key_caches` and `value_caches`.
    pub(crate) fn compaction_buffers(
        &self,
        [key_caches, value_caches]: [u64; 2],
        step: &StepBuffers,
        accepted: &AcceptedBuffers,
        workspace: Memory,
    ) -> CompactBuffers {
        CompactBuffers {
            step: step.rows(workspace),
            key_caches,
            value_caches,
            accepted: accepted.rows,
            accepted_stride: accepted.stride,
            accepted_counts: accepted.counts,
        }
    }
}

impl CaptureRows {
    /// The buffers of a capture of token `token` of layer `place` of `captured`, whose array stands at `queries`.
    pub(crate) fn buffers(
        &self,
        captured: &Captured,
        (place, token): (usize, u32),
        queries: u64,
        (workspace, workspace_bytes): Memory,
    ) -> CaptureBuffers {
        CaptureBuffers {
            query: self.query,
            row_starts: self.row_starts,
            rows: self.rows,
            slots: self.slots,
            captured: queries + 2 * captured.offset(&captured.layers[place]),
            token,
            workspace,
            workspace_bytes,
            strides: captured.capture_strides(self.query_row, self.query_head),
        }
    }
}
