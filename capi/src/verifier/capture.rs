//! Capturing the queries that the next step's maps come from.

use std::ffi::c_void;

use dustin::{
    InvalidInput,
    cpu::CaptureRowArrays,
    verifier::{CaptureRows, Captured},
};

use super::{
    OPERATION,
    create::{Runs, dustin_verifier},
    host::{HostVerifier, host},
    workspace::{Workspace, dustin_verifier_workspace},
};
use crate::{
    boundary::call,
    error::Error,
    handle,
    memory::{slice, slice_mut},
    operation::device,
    status::dustin_status,
    versioned::{self, versioned},
    words::stride_or,
};

/// One layer's queries, of which some are captured: of a step's rows, of a forward of the draft, or of prompts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_capture_rows {
    /// sizeof(dustin_capture_rows).
    pub struct_size: u32,
    /// Rows of the array.
    pub total_rows: u32,
    /// Queries of the rows after rotary embedding, 16-bit items `[total_rows, query_heads, head_dim]`; aligned to 16 bytes on a GPU.
    pub query: *const c_void,
    /// First row of each sequence and, last, the number of rows, int32 `[max_batch + 1]`.
    pub row_starts: *const c_void,
    /// The row to capture of each sequence, counted from its first, int32 `[max_batch]`; null: each sequence's last row, as behind a
    /// prompt or a draft's forward.
    pub rows: *const c_void,
    /// The slot of each sequence, int32 `[max_batch]`, no two the same; negative: nothing is captured. Null: that of its own number.
    pub slots: *const c_void,
    /// From one row to the next; 0 for rows without gaps.
    pub query_row_stride: u64,
    /// From one query head to the next; 0 for heads without gaps.
    pub query_head_stride: u64,
}

versioned!(dustin_capture_rows { struct_size total_rows query row_starts } {
    rows slots query_row_stride query_head_stride
});

impl dustin_capture_rows {
    /// The same with strides of rows of `query_heads` heads of `head_dim` items.
    const fn with_strides(self, query_heads: u32, head_dim: u32) -> Self {
        let head = head_dim as u64;
        Self {
            query_row_stride: stride_or(self.query_row_stride, query_heads as u64 * head),
            query_head_stride: stride_or(self.query_head_stride, head),
            ..self
        }
    }

    fn buffers(&self) -> CaptureRows {
        CaptureRows {
            query: device(self.query),
            query_row: self.query_row_stride,
            query_head: self.query_head_stride,
            total_rows: self.total_rows,
            row_starts: device(self.row_starts),
            rows: device(self.rows),
            slots: device(self.slots),
        }
    }

    /// # Safety
    /// The arrays have the shapes of a problem of `batch` sequences and `query_heads` heads of `head_dim` items.
    unsafe fn arrays<'a>(
        &self,
        batch: u32,
        query_heads: u32,
        head_dim: u32,
    ) -> Result<CaptureRowArrays<'a>, InvalidInput> {
        let span = |count: u32, stride: u64, width: u64| {
            u64::from(count)
                .checked_sub(1)
                .map_or(0, |gaps| gaps.saturating_mul(stride).saturating_add(width))
        };
        let heads = span(query_heads, self.query_head_stride, head_dim.into());
        let items = span(self.total_rows, self.query_row_stride, heads);
        // SAFETY: the caller's promise.
        unsafe {
            let optional = |field, pointer: *const c_void| {
                if pointer.is_null() {
                    Ok(None)
                } else {
                    slice(OPERATION, field, pointer, batch.into()).map(Some)
                }
            };
            Ok(CaptureRowArrays {
                query: slice(OPERATION, "query", self.query, items)?,
                query_row: self.query_row_stride,
                query_head: self.query_head_stride,
                total_rows: self.total_rows,
                row_starts: slice(OPERATION, "row_starts", self.row_starts, u64::from(batch) + 1)?,
                rows: optional("rows", self.rows)?,
                slots: optional("slots", self.slots)?,
            })
        }
    }
}

impl HostVerifier {
    /// Captures queries of the target's `layer`, or of the draft's and of its forward `token` if there is one.
    ///
    /// # Safety
    /// As `dustin_verifier_score_target`.
    unsafe fn capture(
        &self,
        workspace: &Workspace,
        layer: u32,
        token: Option<u32>,
        rows: &dustin_capture_rows,
    ) -> Result<(), Error> {
        let (memory, stages, limits) = (self.memory(), self.stages(), &self.problem().limits);
        let model = self.problem().draft.map_or(self.problem().target, |draft| draft.model);
        let (captured, address, model): (&Captured, _, _) = match token {
            None => (&stages.target_captured, memory.target_queries, self.problem().target),
            Some(_) => (&stages.draft_captured, memory.draft_queries, model),
        };
        let turn = self.turn(workspace);
        let (heads, dim) = (model.share.local().query_heads, model.share.geometry().head_dim);
        // SAFETY: the caller's promise.
        unsafe {
            let arrays = rows.arrays(limits.max_batch, heads, dim)?;
            let queries = slice_mut(OPERATION, "queries", host(address), captured.items())?;
            turn.run(|verifier| match token {
                None => verifier.capture_target(layer, &arrays, queries),
                Some(token) => verifier.capture_draft(layer, token, &arrays, queries),
            })
        }
    }
}

/// # Safety
/// As `dustin_verifier_score_target`.
unsafe fn capture(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    layer: u32,
    token: Option<u32>,
    rows: *const dustin_capture_rows,
    stream: *mut c_void,
) -> Result<(), Error> {
    let verifier = handle::find(OPERATION, "verifier", verifier)?;
    let workspace = handle::find(OPERATION, "workspace", workspace)?;
    // SAFETY: the caller's promise, here and below.
    let (rows, stream) =
        unsafe { (versioned::read(OPERATION, "rows", rows)?, verifier.context.stream(OPERATION, stream)?) };
    let problem = verifier.problem();
    let model = match token {
        Some(_) => problem.draft.map_or(problem.target, |draft| draft.model),
        None => problem.target,
    };
    let rows = rows.with_strides(model.share.local().query_heads, model.share.geometry().head_dim);
    match (&verifier.runs, stream) {
        (Runs::Cuda(own), Some(stream)) => {
            let (space, rows) = (workspace.of_gpu(&verifier)?, rows.buffers());
            // SAFETY: as above.
            let launched = unsafe {
                match token {
                    None => own.capture_target(&stream, space, layer, &rows),
                    Some(token) => own.capture_draft(&stream, space, layer, token, &rows),
                }
            };
            launched.map_err(Error::from)
        }
        (Runs::Cpu(own), _) => {
            workspace.require_host(&verifier)?;
            // SAFETY: as above.
            unsafe { own.capture(&workspace, layer, token, &rows) }
        }
        // A context has streams if its verifiers run on a GPU.
        _ => unreachable!("a verifier for another device than the context's"),
    }
}

/// Captures the queries of `layer` that the target's map comes from in the next step: behind acceptance of each sequence's last accepted
/// row, behind a prompt of its last. They go to the engine's `target_queries`. A layer none of whose heads are captured on this
/// rank is left alone. An error if no set depends on the map.
///
/// # Safety
/// As `dustin_verifier_score_target`; nobody else touches the captured queries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_capture_target(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    layer: u32,
    rows: *const dustin_capture_rows,
    stream: *mut c_void,
) -> dustin_status {
    // SAFETY: the caller's promise.
    call(OPERATION, || unsafe { capture(verifier, workspace, layer, None, rows, stream) })
}

/// Captures the queries of `layer` of the draft's forward `token`, from 0 to gamma - 1, likewise, to the engine's `draft_queries`.
///
/// # Safety
/// As `dustin_verifier_capture_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_capture_draft(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    layer: u32,
    token: u32,
    rows: *const dustin_capture_rows,
    stream: *mut c_void,
) -> dustin_status {
    // SAFETY: the caller's promise.
    call(OPERATION, || unsafe { capture(verifier, workspace, layer, Some(token), rows, stream) })
}
