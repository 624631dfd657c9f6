//! Launches of score gathering: arrays, and what is done with them on each device.

use std::{cell::RefCell, ffi::c_void};

use dustin::{
    InvalidInput,
    cpu::{CpuBackend, score::Candidate},
    score::{
        arrays::{ScoreArrays, ScoreStrides, SourceArrays},
        launch::{ScoreBuffers, SourceBuffers},
        problem::{ScoreProblem, Source},
    },
};

use super::{
    OPERATION,
    problem::{Tables, dustin_score_problem},
};
use crate::{
    error::Error,
    kind,
    kv::require_no_scales,
    memory::{Item, slice, slice_mut},
    operation::{device, dustin_operation, word},
    status::dustin_status,
    versioned::versioned,
    words::stride_or,
};

/// What a launch reads of one layer, in the context's memory. It is part of other structs and never grows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_score_layer {
    /// Captured queries after rotary embedding, `[slots, tokens, heads, head_dim]`; on a GPU aligned to 16 bytes, as are keys.
    pub query: *const c_void,
    /// The layer's key cache after rotary embedding.
    pub key: *const c_void,
    /// Scales of cached keys: reserved, null.
    pub key_scale: *const c_void,
}

// SAFETY: addresses.
unsafe impl Item for dustin_score_layer {}

/// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_score_args {
    /// sizeof(dustin_score_args).
    pub struct_size: u32,
    /// The softmax scale: usually 1 / sqrt(head_dim).
    pub scale: f32,
    /// The layers, in the problem's order; the list itself lies in host memory.
    pub layers: *const dustin_score_layer,
    /// Physical page numbers, int32 `[batch, table_width]`, for every layer.
    pub block_table: *const c_void,
    /// Confirmed lengths, int32 `[batch]`.
    pub lengths: *const c_void,
    /// First position of each sequence's part of the map and, last, the end, int32 `[batch + 1]`. No two parts overlap.
    pub map_starts: *const c_void,
    /// The map, float `[map_capacity]`.
    pub map: *mut c_void,
    /// The workspace, readied by `dustin_operation_initialise`.
    pub workspace: *mut c_void,
    /// Bytes of the workspace.
    pub workspace_bytes: u64,
    /// The slot of each sequence's queries, int32 `[batch]`, negative where it has none; null: that of its own number.
    pub slots: *const c_void,
    /// From one slot of captured queries to the next; a multiple of 8, as are the other two of queries.
    pub query_slot_stride: u64,
    /// From one captured token to the next.
    pub query_token_stride: u64,
    /// From one captured head to the next.
    pub query_head_stride: u64,
    /// From one sequence's block table to the next.
    pub table_stride: u64,
}

versioned!(dustin_score_args {
    struct_size scale layers block_table lengths map_starts map workspace workspace_bytes
} { slots query_slot_stride query_token_stride query_head_stride table_stride });

/// Launches score gathering. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a
/// `CUstream`, null for the legacy default one. On a CPU `stream` is null.
///
/// # Safety
/// Until the launch has ended, all arrays exist with the shapes that problem and arguments say, nobody writes them, and nobody else
/// touches map and workspace; the operation is kept. What arrays contain is checked, but for parts of the map that overlap, whose
/// results are undefined. `args` is null or a struct of the size that its first field says, whose list has as many items as the
/// problem has layers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_score_launch(
    operation: *const dustin_operation,
    args: *const dustin_score_args,
    stream: *mut c_void,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::launch::<dustin_score_problem>(operation, args, stream) }
}

/// Hands the addresses of all layers to `launch`, in memory that the thread keeps: launches allocate nothing.
pub(super) fn with_sources<T>(
    layers: &[dustin_score_layer],
    tables: &[Tables],
    launch: impl FnOnce(&[SourceBuffers]) -> T,
) -> T {
    thread_local! {
        static SOURCES: RefCell<Vec<SourceBuffers>> = const { RefCell::new(Vec::new()) };
    }
    SOURCES.with_borrow_mut(|sources| {
        sources.clear();
        sources.extend(layers.iter().zip(tables).map(|(layer, tables)| SourceBuffers {
            query: device(layer.query),
            key: device(layer.key),
            groups: tables.groups.address(),
            weights: tables.weights.address(),
        }));
        launch(sources)
    })
}

impl dustin_score_args {
    /// What is read of each of the problem's layers.
    ///
    /// # Safety
    /// As [`dustin_score_launch`].
    pub(super) unsafe fn layers<'a>(
        &self,
        problem: &ScoreProblem,
    ) -> Result<&'a [dustin_score_layer], InvalidInput> {
        let count = problem.sources.len() as u64;
        // SAFETY: the caller's promise.
        let layers: &[dustin_score_layer] = unsafe { slice(OPERATION, "layers", self.layers.cast(), count)? };
        for layer in layers {
            require_no_scales(OPERATION, [("key_scale", layer.key_scale)])?;
        }
        Ok(layers)
    }

    pub(super) fn strides(&self, problem: &ScoreProblem) -> ScoreStrides {
        let dense = ScoreStrides::dense(problem);
        ScoreStrides {
            query_slot: stride_or(self.query_slot_stride, dense.query_slot),
            query_token: stride_or(self.query_token_stride, dense.query_token),
            query_head: stride_or(self.query_head_stride, dense.query_head),
            table: stride_or(self.table_stride, dense.table),
        }
    }

    pub(super) fn buffers<'a>(
        &self,
        sources: &'a [SourceBuffers],
        strides: ScoreStrides,
    ) -> ScoreBuffers<'a> {
        ScoreBuffers {
            sources,
            slots: device(self.slots),
            block_table: device(self.block_table),
            lengths: device(self.lengths),
            map_starts: device(self.map_starts),
            map: device(self.map),
            workspace: device(self.workspace),
            workspace_bytes: self.workspace_bytes,
            scale: self.scale,
            strides,
        }
    }

    /// # Safety
    /// As [`dustin_score_launch`].
    pub(super) unsafe fn run(
        &self,
        backend: &mut CpuBackend,
        problem: &ScoreProblem,
        candidate: &Candidate,
        layers: &[dustin_score_layer],
        strides: ScoreStrides,
    ) -> Result<(), Error> {
        strides.validate(problem)?;
        let (batch, cache) = (u64::from(problem.batch), problem.kv.extent());
        let source = |(source, layer): (&Source, &dustin_score_layer)| {
            let items = strides.query_extent(problem, source);
            // SAFETY: the caller's promise, here and below.
            unsafe {
                Ok(SourceArrays {
                    query: slice(OPERATION, "query", layer.query, items)?,
                    key: slice(OPERATION, "key", layer.key, cache)?,
                })
            }
        };
        let sources = problem.sources.iter().zip(layers).map(source).collect::<Result<_, InvalidInput>>()?;
        // SAFETY: as above.
        let arrays = unsafe {
            ScoreArrays {
                sources,
                slots: if self.slots.is_null() {
                    None
                } else {
                    Some(slice(OPERATION, "slots", self.slots, batch)?)
                },
                block_table: slice(
                    OPERATION,
                    "block_table",
                    self.block_table,
                    strides.table_extent(problem),
                )?,
                lengths: slice(OPERATION, "lengths", self.lengths, batch)?,
                map_starts: slice(OPERATION, "map_starts", self.map_starts, batch + 1)?,
                scale: self.scale,
                strides,
            }
        };
        // SAFETY: as above.
        let (map, status) = unsafe {
            let map: &mut [f32] = slice_mut(OPERATION, "map", self.map, problem.map_capacity.into())?;
            (map, word(OPERATION, self.workspace, self.workspace_bytes)?)
        };
        *status = backend.score(problem, candidate, &arrays, map)?.max(*status);
        Ok(())
    }
}
