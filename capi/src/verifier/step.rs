//! A step's arrays, in the context's memory.

use std::ffi::c_void;

use dustin::{
    InvalidInput,
    attention::arrays::AttentionStrides,
    cache::append::arrays::AppendStrides,
    verifier::{
        AcceptedBuffers, AppendRows, AttentionRows, DraftBuffers, Stages, StepBuffers, VerifierProblem,
    },
};

use super::OPERATION;
use crate::{
    operation::device,
    versioned::versioned,
    words::{FLAGS, LOG_BASES, OUTPUT_TYPES, require_reserved, stride_or},
};

/// A step's arrays that do not depend on the layer. Those that no stage reads are null. Strides count items; 0 stands for that of an
/// array without gaps.
///
/// A batch of fewer sequences than `max_batch` has sequences of length 0, without rows, of slot -1 behind them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_step {
    /// sizeof(dustin_step).
    pub struct_size: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Confirmed lengths, int32 `[max_batch]`.
    pub lengths: *const c_void,
    /// First row of each sequence and, last, the number of rows, int32 `[max_batch + 1]`.
    pub row_starts: *const c_void,
    /// Physical page numbers of the target's caches, int32 `[max_batch, table_width]`.
    pub block_table: *const c_void,
    /// First position of each sequence's part of the maps and, last, the end, int32 `[max_batch + 1]`. Each part is at least as long as
    /// the sequence.
    pub map_starts: *const c_void,
    /// The slot of each sequence's captured target query, int32 `[max_batch]`, negative where there is none; null if the target's map
    /// is not read.
    pub slots: *const c_void,
    /// The target's map, float `[max_total_tokens]`; null if it is not read.
    pub target_map: *mut c_void,
    /// The draft's map, likewise.
    pub draft_map: *mut c_void,
    /// Positions of the sets, int32 `[max_batch, k]`.
    pub set: *mut c_void,
    /// The same tokens as slots of the target's caches, int32 `[max_batch, k]`; null unless attention reads them.
    pub physical: *mut c_void,
    /// Sizes of the sets, int32 `[max_batch]`.
    pub set_sizes: *mut c_void,
    /// Rows that each row sees, uint64 `[max_batch * rows]`; null unless the mask is a tree.
    pub masks: *const c_void,
    /// Tokens of each sequence that the draft's caches hold, int32 `[max_batch]`: the target's lengths, whose array may be given. Null, as the
    /// next two, if the draft's map is not read.
    pub draft_lengths: *const c_void,
    /// Physical page numbers of the draft's caches, int32 `[max_batch, draft_table_width]`.
    pub draft_block_table: *const c_void,
    /// The slot of each sequence's captured draft queries, int32 `[max_batch]`; null: that of its own number.
    pub draft_slots: *const c_void,
    /// From one sequence's block table to the next.
    pub table_stride: u64,
    /// From one sequence's block table of the draft to the next.
    pub draft_table_stride: u64,
}

versioned!(dustin_step { struct_size reserved lengths row_starts block_table } {
    map_starts slots target_map draft_map set physical set_sizes masks draft_lengths draft_block_table draft_slots
    table_stride draft_table_stride
});

impl dustin_step {
    pub(super) fn table_strides(&self, problem: &VerifierProblem) -> [u64; 2] {
        [
            stride_or(self.table_stride, problem.target_table_width().into()),
            stride_or(self.draft_table_stride, problem.draft_table_width().into()),
        ]
    }

    pub(super) fn validate(&self) -> Result<(), InvalidInput> {
        require_reserved(OPERATION, &[("reserved", self.reserved)])
    }

    pub(super) fn buffers(&self, problem: &VerifierProblem) -> StepBuffers {
        let [table_stride, draft_table_stride] = self.table_strides(problem);
        StepBuffers {
            lengths: device(self.lengths),
            row_starts: device(self.row_starts),
            block_table: device(self.block_table),
            table_stride,
            map_starts: device(self.map_starts),
            slots: device(self.slots),
            draft: DraftBuffers {
                lengths: device(self.draft_lengths),
                block_table: device(self.draft_block_table),
                table_stride: draft_table_stride,
                slots: device(self.draft_slots),
            },
            target_map: device(self.target_map),
            draft_map: device(self.draft_map),
            set: device(self.set),
            physical: device(self.physical),
            set_sizes: device(self.set_sizes),
            masks: device(self.masks),
        }
    }
}

/// The step's own rows of one layer, as its projections leave them: 16-bit items, aligned to 16 bytes on a GPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_append_rows {
    /// sizeof(dustin_append_rows).
    pub struct_size: u32,
    /// As in `dustin_append_args`: not in the first layer behind the selection.
    pub stable: u32,
    /// Keys of the rows after rotary embedding, `[max_batch * rows, kv_heads, head_dim]`.
    pub key: *const c_void,
    /// Values of the rows, likewise.
    pub value: *const c_void,
    /// Queries of the rows, `[max_batch * rows, query_heads, head_dim]`; null unless appending copies them.
    pub query: *const c_void,
    /// Where attention reads the queries, likewise.
    pub query_copy: *mut c_void,
    /// From one row's keys to the next's; a multiple of 8, as are the following.
    pub key_row_stride: u64,
    /// From one KV head's keys to the next's.
    pub key_head_stride: u64,
    /// From one row's values to the next's.
    pub value_row_stride: u64,
    /// From one KV head's values to the next's.
    pub value_head_stride: u64,
    /// From one row's queries to the next's.
    pub query_row_stride: u64,
    /// From one query head to the next.
    pub query_head_stride: u64,
    /// From one row's copied queries to the next's.
    pub query_copy_row_stride: u64,
    /// From one query head of the copy to the next.
    pub query_copy_head_stride: u64,
}

versioned!(dustin_append_rows { struct_size stable key value } {
    query query_copy key_row_stride key_head_stride value_row_stride value_head_stride query_row_stride
    query_head_stride query_copy_row_stride query_copy_head_stride
});

impl dustin_append_rows {
    pub(super) fn buffers(&self, stages: &Stages) -> Result<AppendRows, InvalidInput> {
        let dense = AppendStrides::dense(&stages.append);
        Ok(AppendRows {
            key: device(self.key),
            value: device(self.value),
            query: device(self.query),
            query_copy: device(self.query_copy),
            strides: AppendStrides {
                key_row: stride_or(self.key_row_stride, dense.key_row),
                key_head: stride_or(self.key_head_stride, dense.key_head),
                value_row: stride_or(self.value_row_stride, dense.value_row),
                value_head: stride_or(self.value_head_stride, dense.value_head),
                query_row: stride_or(self.query_row_stride, dense.query_row),
                query_head: stride_or(self.query_head_stride, dense.query_head),
                query_copy_row: stride_or(self.query_copy_row_stride, dense.query_copy_row),
                query_copy_head: stride_or(self.query_copy_head_stride, dense.query_copy_head),
            },
            stable: FLAGS.read(OPERATION, "stable", self.stable)?,
        })
    }
}

/// What one layer's attention reads and writes of the step's own rows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_attention_rows {
    /// sizeof(dustin_attention_rows).
    pub struct_size: u32,
    /// The item type of outputs, a `dustin_output_type`.
    pub output_type: u32,
    /// Queries of the rows after rotary embedding, `[max_batch * rows, query_heads, head_dim]`; aligned to 16 bytes on a GPU, as are
    /// outputs.
    pub query: *const c_void,
    /// Outputs, likewise, of the type `output_type`.
    pub output: *mut c_void,
    /// Log-sum-exp, float `[max_batch * rows, query_heads]`; null unless the problem asks for it.
    pub lse: *mut c_void,
    /// From one query row to the next; a multiple of 8, as are the following.
    pub query_row_stride: u64,
    /// From one query head to the next.
    pub query_head_stride: u64,
    /// From one output row to the next.
    pub output_row_stride: u64,
    /// From one output head to the next.
    pub output_head_stride: u64,
    /// The base of the log-sum-exp, a `dustin_log_base`.
    pub lse_base: u32,
    /// As in `dustin_attention_args`: in every layer whose rows were appended right before.
    pub stable: u32,
}

versioned!(dustin_attention_rows { struct_size output_type query output } {
    lse query_row_stride query_head_stride output_row_stride output_head_stride lse_base stable
});

impl dustin_attention_rows {
    pub(super) fn buffers(&self, stages: &Stages) -> Result<AttentionRows, InvalidInput> {
        let dense = AttentionStrides::dense(&stages.attention);
        Ok(AttentionRows {
            query: device(self.query),
            query_row: stride_or(self.query_row_stride, dense.query_row),
            query_head: stride_or(self.query_head_stride, dense.query_head),
            output: device(self.output),
            output_row: stride_or(self.output_row_stride, dense.output_row),
            output_head: stride_or(self.output_head_stride, dense.output_head),
            output_type: OUTPUT_TYPES.read(OPERATION, "output_type", self.output_type)?,
            lse: device(self.lse),
            lse_base: LOG_BASES.read(OPERATION, "lse_base", self.lse_base)?,
            stable: FLAGS.read(OPERATION, "stable", self.stable)?,
        })
    }
}

/// Which of the step's own rows were accepted.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_accepted {
    /// sizeof(dustin_accepted).
    pub struct_size: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// The accepted rows of each sequence, int32 `[max_batch, gamma + 1]`, where the verifier accepts its paths: numbers of its own rows, from
    /// 0, ascending.
    pub rows: *const c_void,
    /// Rows of each list, int32 `[max_batch]`; null where the verifier accepts: then -1 ends a list of up to `rows` entries.
    pub counts: *const c_void,
    /// From one sequence's list to the next; 0 for lists without gaps.
    pub stride: u64,
}

versioned!(dustin_accepted { struct_size reserved rows counts } { stride });

impl dustin_accepted {
    pub(super) fn buffers(&self, stages: &Stages) -> Result<AcceptedBuffers, InvalidInput> {
        require_reserved(OPERATION, &[("reserved", self.reserved)])?;
        Ok(AcceptedBuffers {
            rows: device(self.rows),
            stride: stride_or(self.stride, stages.compaction.accepted.into()),
            counts: device(self.counts),
        })
    }
}
