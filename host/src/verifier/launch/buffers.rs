//! The device addresses of a step's arrays, and those of each stage's launch up to attention.
//!
//! All structs are plain addresses: an array that the plan has no use for is 0. Where an array is missing, misaligned or not asked
//! for, the stage that reads it says so.

use crate::{
    attention::{
        arrays::{AttentionStrides, LogBase, OutputType},
        launch::{AttentionBuffers, AttentionPlan},
        problem::Entries,
    },
    cache::{
        append::{arrays::AppendStrides, launch::AppendBuffers},
        launch,
    },
    score::launch::{ScoreBuffers, SourceBuffers},
    select::{arrays::SelectStrides, launch::SelectBuffers},
    verifier::{EngineMemory, launch::plan::VerifierPlan, role::Role},
};

/// A step's arrays that do not depend on the layer.
///
/// A batch of fewer sequences than the plan's has sequences of length 0, without rows, of slot -1 behind them.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepBuffers {
    /// Confirmed lengths, i32 `[batch]`.
    pub lengths: u64,
    /// First row of each sequence and, last, the number of rows, i32 `[batch + 1]`.
    pub row_starts: u64,
    /// Physical page numbers of the target's caches, i32 `[batch, table_width]`.
    pub block_table: u64,
    /// Items from one sequence's block table to the next.
    pub table_stride: u64,
    /// First position of each sequence's part of the maps and, last, the end, i32 `[batch + 1]`. Each part is at least as long as
    /// the sequence, and all are within `max_total_tokens`.
    pub map_starts: u64,
    /// The slot of each sequence's captured target query, i32 `[batch]`; negative where there is none. 0 if the target's map is
    /// not read.
    pub slots: u64,
    /// What the draft's map is gathered from besides; without meaning if it is not read.
    pub draft: DraftBuffers,
    /// The target's map, f32 `[max_total_tokens]`; 0 if it is not read.
    pub target_map: u64,
    /// The draft's map, likewise.
    pub draft_map: u64,
    /// Positions of the sets, i32 `[batch, k]`.
    pub set: u64,
    /// The same tokens as slots of the target's caches, i32 `[batch, k]`; 0 unless attention reads them.
    pub physical: u64,
    /// Sizes of the sets, i32 `[batch]`.
    pub set_sizes: u64,
    /// Rows that each row sees, u64 `[batch · rows]`; 0 unless the mask is a tree.
    pub masks: u64,
}

/// What of a step's arrays is the draft model's.
#[derive(Clone, Copy, Debug, Default)]
pub struct DraftBuffers {
    /// Tokens of each sequence that its caches hold and the map covers, i32 `[batch]`: the target's confirmed lengths, whose array
    /// may be given.
    pub lengths: u64,
    /// Physical page numbers of its caches, i32 `[batch, table_width]`.
    pub block_table: u64,
    /// Items from one sequence's block table to the next.
    pub table_stride: u64,
    /// The slot of each sequence's captured draft queries, i32 `[batch]`; 0: every sequence has the slot of its own number.
    pub slots: u64,
}

/// The step's own rows of one layer, as its projections leave them.
#[derive(Clone, Copy, Debug)]
pub struct AppendRows {
    /// Keys of the rows after rotary embedding, 16-bit items; aligned to 16 bytes, as are the other three.
    pub key: u64,
    /// Values of the rows, 16-bit items.
    pub value: u64,
    /// Queries of the rows, 16-bit items; 0 unless appending copies them.
    pub query: u64,
    /// Where attention reads the queries, 16-bit items; 0 unless appending copies them.
    pub query_copy: u64,
    /// Distances between rows.
    pub strides: AppendStrides,
    /// [`AppendBuffers::stable`]: not in the first layer behind the selection.
    pub stable: bool,
}

/// What one layer's attention reads and writes of the step's own rows.
#[derive(Clone, Copy, Debug)]
pub struct AttentionRows {
    /// Queries of the rows after rotary embedding, 16-bit items; aligned to 16 bytes, as are outputs.
    pub query: u64,
    /// Items from one query row to the next.
    pub query_row: u64,
    /// Items from one query head to the next.
    pub query_head: u64,
    /// Outputs, of the type `output_type`.
    pub output: u64,
    /// Items from one output row to the next.
    pub output_row: u64,
    /// Items from one output head to the next.
    pub output_head: u64,
    /// The item type of the outputs.
    pub output_type: OutputType,
    /// Log-sum-exp, f32 `[total_rows, query_heads]`; 0 unless the problem asks for it.
    pub lse: u64,
    /// Its base.
    pub lse_base: LogBase,
    /// [`AttentionBuffers::stable`]: in every layer whose rows were appended right before.
    pub stable: bool,
}

/// A stage's part of a workspace: address and bytes.
pub(crate) type Memory = (u64, u64);

impl VerifierPlan {
    /// The buffers of the job that gathers a model's map from `sources`.
    pub(crate) fn score_buffers<'a>(
        &self,
        role: Role,
        sources: &'a [SourceBuffers],
        step: &StepBuffers,
        (workspace, workspace_bytes): Memory,
    ) -> ScoreBuffers<'a> {
        let DraftBuffers { lengths, block_table, table_stride, slots } = match role {
            Role::Target => DraftBuffers {
                lengths: step.lengths,
                block_table: step.block_table,
                table_stride: step.table_stride,
                slots: step.slots,
            },
            Role::Draft => step.draft,
        };
        ScoreBuffers {
            sources,
            slots,
            block_table,
            lengths,
            map_starts: step.map_starts,
            map: step.map(role),
            workspace,
            workspace_bytes,
            scale: self.problem().model(role).scale,
            strides: self.stages().captured(role).strides(table_stride),
        }
    }

    pub(crate) fn selection_buffers(
        &self,
        step: &StepBuffers,
        (workspace, workspace_bytes): Memory,
    ) -> SelectBuffers {
        let problem = &self.stages().selection;
        let looked_up = problem.table.is_some();
        SelectBuffers {
            draft: step.draft_map,
            target: step.target_map,
            map_starts: step.map_starts,
            lengths: step.lengths,
            target_slots: step.slots,
            block_table: if looked_up { step.block_table } else { 0 },
            set: step.set,
            physical: step.physical,
            set_sizes: step.set_sizes,
            workspace,
            workspace_bytes,
            strides: SelectStrides {
                table: if looked_up { step.table_stride } else { 0 },
                ..SelectStrides::dense(problem)
            },
        }
    }

    pub(crate) fn append_buffers(
        &self,
        memory: &EngineMemory,
        layer: usize,
        step: &StepBuffers,
        rows: &AppendRows,
        workspace: Memory,
    ) -> AppendBuffers {
        AppendBuffers {
            step: step.rows(workspace),
            key: rows.key,
            value: rows.value,
            key_cache: memory.target_keys[layer],
            value_cache: memory.target_values[layer],
            query: rows.query,
            query_copy: rows.query_copy,
            strides: rows.strides,
            stable: rows.stable,
        }
    }

    /// The buffers of a layer's attention by `plan`, over the sets or over all tokens.
    pub(crate) fn attention_buffers(
        &self,
        plan: &AttentionPlan,
        memory: &EngineMemory,
        layer: usize,
        step: &StepBuffers,
        rows: &AttentionRows,
        (workspace, workspace_bytes): Memory,
    ) -> AttentionBuffers {
        let (set, set_sizes) = match plan.problem().sets() {
            None => (0, 0),
            Some(sets) if sets.entries == Entries::Slots => (step.physical, step.set_sizes),
            Some(_) => (step.set, step.set_sizes),
        };
        AttentionBuffers {
            query: rows.query,
            key: memory.target_keys[layer],
            value: memory.target_values[layer],
            block_table: step.block_table,
            lengths: step.lengths,
            row_starts: step.row_starts,
            set,
            set_sizes,
            masks: step.masks,
            output: rows.output,
            lse: rows.lse,
            workspace,
            workspace_bytes,
            scale: self.problem().target.scale,
            lse_base: rows.lse_base,
            output_type: rows.output_type,
            strides: AttentionStrides {
                query_row: rows.query_row,
                query_head: rows.query_head,
                output_row: rows.output_row,
                output_head: rows.output_head,
                table: step.table_stride,
                ..AttentionStrides::dense(plan.problem())
            },
            stable: rows.stable,
        }
    }
}

impl StepBuffers {
    /// What appending and compacting are told of the step.
    pub(super) fn rows(&self, (workspace, workspace_bytes): Memory) -> launch::StepBuffers {
        launch::StepBuffers {
            block_table: self.block_table,
            table_stride: self.table_stride,
            lengths: self.lengths,
            row_starts: self.row_starts,
            workspace,
            workspace_bytes,
        }
    }
}
