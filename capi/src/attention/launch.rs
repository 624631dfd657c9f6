//! Launches of attention: arrays, and what is done with them on each device.

use std::ffi::c_void;

use dustin::{
    InvalidInput,
    attention::{
        arrays::{AttentionArrays, AttentionStrides, LogBase, OutputType},
        launch::AttentionBuffers,
        problem::{AttentionProblem, Mask},
    },
    cpu::{CpuBackend, CpuCandidate, LseMut, OutputMut},
};

use super::{OPERATION, problem::dustin_attention_problem};
use crate::{
    error::Error,
    kind,
    kv::require_no_scales,
    memory::{require_absent, slice, slice_mut},
    operation::{device, dustin_operation, word},
    status::dustin_status,
    versioned::versioned,
    words::{FLAGS, LOG_BASES, OUTPUT_TYPES, require_reserved, stride_or},
};

/// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_attention_args {
    /// sizeof(dustin_attention_args).
    pub struct_size: u32,
    /// The softmax scale, positive: usually 1 / sqrt(head_dim).
    pub scale: f32,
    /// Queries after rotary embedding, `[total_rows, query_heads, head_dim]`; on a GPU aligned to 16 bytes, as are caches and outputs.
    pub query: *const c_void,
    /// Key cache after rotary embedding, in which the step's own rows lie at positions length and following.
    pub key: *const c_void,
    /// Value cache.
    pub value: *const c_void,
    /// Physical page numbers, int32 `[batch, table_width]`.
    pub block_table: *const c_void,
    /// Confirmed lengths, int32 `[batch]`.
    pub lengths: *const c_void,
    /// First query row of each sequence and, last, the number of rows, int32 `[batch + 1]`.
    pub row_starts: *const c_void,
    /// Outputs, `[total_rows, query_heads, head_dim]`, of the type `output_type`. Rows of no sequence are left as they are.
    pub output: *mut c_void,
    /// The workspace, readied by `dustin_operation_initialise`.
    pub workspace: *mut c_void,
    /// Bytes of the workspace.
    pub workspace_bytes: u64,
    /// Entries of the sets, int32 `[batch, sets, entries]`; null where the problem has none.
    pub set: *const c_void,
    /// Tokens of each set, or -1 for all of its sequence, int32 `[batch, sets]`; null where the problem has none.
    pub set_sizes: *const c_void,
    /// Rows that each row sees, uint64 `[total_rows]`, bit j for the sequence's row j; null unless the mask is a tree.
    pub masks: *const c_void,
    /// Log-sum-exp, float `[total_rows, query_heads]`; null unless the problem asks for it.
    pub lse: *mut c_void,
    /// Scales of cached keys: reserved, null.
    pub key_scale: *const c_void,
    /// Scales of cached values: reserved, null.
    pub value_scale: *const c_void,
    /// From one query row to the next; a multiple of 8, as are the other three of queries and outputs.
    pub query_row_stride: u64,
    /// From one query head to the next.
    pub query_head_stride: u64,
    /// From one output row to the next.
    pub output_row_stride: u64,
    /// From one output head to the next.
    pub output_head_stride: u64,
    /// From one sequence's block table to the next.
    pub table_stride: u64,
    /// From one sequence's sets to the next's.
    pub set_stride: u64,
    /// From one KV head's set to the next's.
    pub set_head_stride: u64,
    /// The item type of outputs, a `dustin_output_type`.
    pub output_type: u32,
    /// The base of the log-sum-exp, a `dustin_log_base`.
    pub lse_base: u32,
    /// 1 if what is launched right before on the stream leaves `lengths`, `row_starts`, `block_table`, `set`, `set_sizes`, `masks`
    /// and the caches' confirmed rows as they are, and does not clear the status, as in all layers of a step but the first: then
    /// launches may overlap. 0 where nobody knows. A CPU does not look at it.
    pub stable: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

versioned!(dustin_attention_args {
    struct_size scale query key value block_table lengths row_starts output workspace workspace_bytes
} {
    set set_sizes masks lse key_scale value_scale query_row_stride query_head_stride output_row_stride
    output_head_stride table_stride set_stride set_head_stride output_type lse_base stable reserved
});

/// Launches attention. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a `CUstream`, null
/// for the legacy default one. On a CPU `stream` is null.
///
/// # Safety
/// Until the launch has ended, all arrays exist with the shapes that problem and arguments say, nobody writes them, and nobody else
/// touches outputs, log-sum-exp and workspace; the operation or its context is kept. What arrays contain is checked, but for rows that two
/// sequences share, whose results are undefined. `args` is null or a struct of the size that its first field says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_attention_launch(
    operation: *const dustin_operation,
    args: *const dustin_attention_args,
    stream: *mut c_void,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::launch::<dustin_attention_problem>(operation, args, stream) }
}

/// What arguments say besides addresses.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    strides: AttentionStrides,
    output_type: OutputType,
    lse_base: LogBase,
    stable: bool,
}

impl dustin_attention_args {
    pub(super) fn settings(&self, problem: &AttentionProblem) -> Result<Settings, InvalidInput> {
        require_no_scales(OPERATION, [("key_scale", self.key_scale), ("value_scale", self.value_scale)])?;
        require_reserved(OPERATION, &[("reserved", self.reserved)])?;
        let dense = AttentionStrides::dense(problem);
        Ok(Settings {
            strides: AttentionStrides {
                query_row: stride_or(self.query_row_stride, dense.query_row),
                query_head: stride_or(self.query_head_stride, dense.query_head),
                output_row: stride_or(self.output_row_stride, dense.output_row),
                output_head: stride_or(self.output_head_stride, dense.output_head),
                table: stride_or(self.table_stride, dense.table),
                set: stride_or(self.set_stride, dense.set),
                set_head: stride_or(self.set_head_stride, dense.set_head),
            },
            output_type: OUTPUT_TYPES.read(OPERATION, "output_type", self.output_type)?,
            lse_base: LOG_BASES.read(OPERATION, "lse_base", self.lse_base)?,
            stable: FLAGS.read(OPERATION, "stable", self.stable)?,
        })
    }

    pub(super) fn buffers(&self, settings: Settings) -> AttentionBuffers {
        AttentionBuffers {
            query: device(self.query),
            key: device(self.key),
            value: device(self.value),
            block_table: device(self.block_table),
            lengths: device(self.lengths),
            row_starts: device(self.row_starts),
            set: device(self.set),
            set_sizes: device(self.set_sizes),
            masks: device(self.masks),
            output: device(self.output),
            lse: device(self.lse),
            workspace: device(self.workspace),
            workspace_bytes: self.workspace_bytes,
            scale: self.scale,
            lse_base: settings.lse_base,
            output_type: settings.output_type,
            strides: settings.strides,
            stable: settings.stable,
        }
    }

    /// # Safety
    /// As [`dustin_attention_launch`].
    pub(super) unsafe fn run(
        &self,
        backend: &mut CpuBackend,
        problem: &AttentionProblem,
        candidate: &CpuCandidate,
        Settings { strides, output_type, lse_base, .. }: Settings,
    ) -> Result<(), Error> {
        strides.validate(problem)?;
        let batch = u64::from(problem.batch);
        let (sets, tree) = (problem.sets_per_sequence(), problem.mask == Mask::Tree);
        for (field, pointer, asked) in [
            ("set", self.set, sets > 0),
            ("set_sizes", self.set_sizes, sets > 0),
            ("masks", self.masks, tree),
            ("lse", self.lse.cast_const(), problem.lse),
        ] {
            require_absent(OPERATION, field, pointer, asked)?;
        }
        let (rows, cache) = (u64::from(problem.total_rows), problem.kv.extent());
        // SAFETY: the caller's promise, here and below.
        let arrays = unsafe {
            AttentionArrays {
                query: slice(OPERATION, "query", self.query, strides.query_extent(problem))?,
                key: slice(OPERATION, "key", self.key, cache)?,
                value: slice(OPERATION, "value", self.value, cache)?,
                block_table: slice(
                    OPERATION,
                    "block_table",
                    self.block_table,
                    strides.table_extent(problem),
                )?,
                lengths: slice(OPERATION, "lengths", self.lengths, batch)?,
                row_starts: slice(OPERATION, "row_starts", self.row_starts, batch + 1)?,
                set: slice(OPERATION, "set", self.set, strides.set_extent(problem))?,
                set_sizes: slice(OPERATION, "set_sizes", self.set_sizes, batch * u64::from(sets))?,
                masks: slice(OPERATION, "masks", self.masks, if tree { rows } else { 0 })?,
                scale: self.scale,
                strides,
            }
        };
        let items = strides.output_extent(problem);
        // SAFETY: as above.
        let output = unsafe {
            match output_type {
                OutputType::Rounded => {
                    OutputMut::Rounded(slice_mut(OPERATION, "output", self.output, items)?)
                }
                OutputType::F32 => OutputMut::F32(slice_mut(OPERATION, "output", self.output, items)?),
            }
        };
        let lse = if problem.lse {
            // SAFETY: as above.
            let items =
                unsafe { slice_mut(OPERATION, "lse", self.lse, rows * u64::from(problem.query_heads))? };
            Some(LseMut { items, base: lse_base })
        } else {
            None
        };
        // SAFETY: as above.
        let status = unsafe { word(OPERATION, self.workspace, self.workspace_bytes)? };
        *status = backend.attention(problem, candidate, &arrays, output, lse)?.max(*status);
        Ok(())
    }
}
