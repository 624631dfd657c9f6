//! What follows a step's attention, and the captures that the next one's maps come from.

use super::{Verifier, VerifierWorkspace};
use crate::{
    cuda::{error::CudaError, stream::Stream},
    verifier::{
        AcceptanceBuffers, AcceptedBuffers, CaptureRows, Stage, StepBuffers, role::Role, stages::unaccepted,
    },
};

impl Verifier {
    /// Finds which drafts each sequence keeps, its next token, and its length behind the step. What it writes is what
    /// [`compact`](Self::compact) and [`capture_target`](Self::capture_target) read, on the same stream.
    ///
    /// # Safety
    /// As [`AcceptKernel::launch`](crate::cuda::AcceptKernel::launch) for the arrays of `step` and `buffers`, in `workspace`, likewise.
    ///
    /// # Errors
    /// The engine accepts drafts itself; an address that is missing, misaligned or not asked for; a stride that is not as documented;
    /// a stream of another context; what the driver returns.
    pub unsafe fn accept(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        step: &StepBuffers,
        buffers: &AcceptanceBuffers,
    ) -> Result<(), CudaError> {
        let kernel = self.acceptance.as_ref().ok_or_else(unaccepted)?;
        let part = workspace.part(Stage::Acceptance)?;
        let buffers = self.plan.acceptance_buffers(step, buffers, part);
        // SAFETY: the caller's promise.
        unsafe { kernel.launch(stream, &buffers) }
    }

    /// Moves the accepted rows up behind the confirmed tokens in all layers of the target. A chain's rows are there already:
    /// that is for trees.
    ///
    /// # Safety
    /// As [`CompactKernel::launch`](crate::cuda::CompactKernel::launch) for the arrays of `step` and `accepted` and all layers' caches, likewise.
    ///
    /// # Errors
    /// An address that is missing or misaligned; a stream of another context; what the driver returns.
    pub unsafe fn compact(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        step: &StepBuffers,
        accepted: &AcceptedBuffers,
    ) -> Result<(), CudaError> {
        let layers = [self.layers[0].address(), self.layers[1].address()];
        let part = workspace.part(Stage::Compaction)?;
        let buffers = self.plan.compaction_buffers(layers, step, accepted, part);
        // SAFETY: the caller's promise.
        unsafe { self.compaction.launch(stream, &buffers) }
    }

    /// Captures the queries of `layer` that the target's map comes from in the next step: behind acceptance of each sequence's last
    /// accepted row, behind a prompt of its last. A layer none of whose heads are captured on this rank is left alone.
    ///
    /// # Safety
    /// As [`CaptureKernel::launch`](crate::cuda::CaptureKernel::launch) for the arrays of `rows` and the verifier's [`EngineMemory`](crate::verifier::EngineMemory), in
    /// `workspace`, likewise.
    ///
    /// # Errors
    /// No set depends on the map; the target has no such layer; an address that is missing or misaligned; a stride that is not as
    /// documented; a stream of another context; what the driver returns.
    pub unsafe fn capture_target(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        layer: u32,
        rows: &CaptureRows,
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.capture(Role::Target, stream, workspace, layer, 0, rows) }
    }

    /// Captures the queries of `layer` of the draft's forward `token`, from 0 to γ - 1, likewise of each sequence's last row unless
    /// `rows` names others.
    ///
    /// # Safety
    /// As [`capture_target`](Self::capture_target).
    ///
    /// # Errors
    /// As [`capture_target`](Self::capture_target); there is no such forward.
    pub unsafe fn capture_draft(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        layer: u32,
        token: u32,
        rows: &CaptureRows,
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.capture(Role::Draft, stream, workspace, layer, token, rows) }
    }

    /// # Safety
    /// As [`capture_target`](Self::capture_target).
    unsafe fn capture(
        &self,
        role: Role,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        layer: u32,
        token: u32,
        rows: &CaptureRows,
    ) -> Result<(), CudaError> {
        let stages = self.plan.stages();
        let Some(place) = stages.capture_of(role, self.plan.problem(), layer)? else { return Ok(()) };
        let (kernels, queries) = match role {
            Role::Target => (&self.target_capture, self.memory.target_queries),
            Role::Draft => (&self.draft_capture, self.memory.draft_queries),
        };
        let part = workspace.part(role.capture())?;
        let buffers = rows.buffers(stages.captured(role), (place, token), queries, part);
        // SAFETY: the caller's promise.
        unsafe { kernels[place].launch_of_rows(stream, &buffers, rows.total_rows) }
    }
}
