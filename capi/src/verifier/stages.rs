//! A call for each stage of a step.

use std::{ffi::c_void, sync::Arc};

use dustin::{
    cuda::{CudaError, Stream, Verifier as CudaVerifier, VerifierWorkspace},
    verifier::StepBuffers,
};

use super::{
    OPERATION,
    create::{Runs, Verifier, dustin_verifier},
    host::HostVerifier,
    step::{dustin_accepted, dustin_append_rows, dustin_attention_rows, dustin_step},
    workspace::{Workspace, dustin_verifier_workspace},
};
use crate::{boundary::call, error::Error, handle, status::dustin_status, versioned};

/// What the stages of a step are called with.
pub(super) struct Call {
    pub(super) verifier: Arc<Verifier>,
    workspace: Arc<Workspace>,
    step: dustin_step,
    stream: Option<Stream>,
}

impl Call {
    /// # Safety
    /// As every stage.
    pub(super) unsafe fn read(
        verifier: *const dustin_verifier,
        workspace: *const dustin_verifier_workspace,
        step: *const dustin_step,
        stream: *mut c_void,
    ) -> Result<Self, Error> {
        let verifier = handle::find(OPERATION, "verifier", verifier)?;
        let workspace = handle::find(OPERATION, "workspace", workspace)?;
        // SAFETY: the caller's promise.
        let (step, stream) = unsafe {
            (versioned::read(OPERATION, "step", step)?, verifier.context.stream(OPERATION, stream)?)
        };
        step.validate()?;
        Ok(Self { verifier, workspace, step, stream })
    }

    /// Launches a stage on a GPU, or runs it on a CPU.
    pub(super) fn run(
        &self,
        launch: impl FnOnce(&CudaVerifier, &Stream, &VerifierWorkspace, &StepBuffers) -> Result<(), CudaError>,
        host: impl FnOnce(&HostVerifier, &Workspace, &dustin_step) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match (&self.verifier.runs, &self.stream) {
            (Runs::Cuda(verifier), Some(stream)) => {
                let workspace = self.workspace.of_gpu(&self.verifier)?;
                launch(verifier, stream, workspace, &self.step.buffers(verifier.plan().problem()))
                    .map_err(Error::from)
            }
            (Runs::Cpu(verifier), _) => {
                self.workspace.require_host(&self.verifier)?;
                host(verifier, &self.workspace, &self.step)
            }
            // A context has streams if its verifiers run on a GPU.
            _ => unreachable!("a verifier for another device than the context's"),
        }
    }
}

/// Gathers this rank's share of the target's map. It depends on the step before alone, so it may run while the draft model drafts, on a
/// stream of its own. An error if no set depends on that map.
///
/// On a GPU this and the other stages allocate nothing, do not wait, and can be captured into a graph.
///
/// # Safety
/// For this and the other stages: until the launch has ended, the arrays that the stage reads and writes, caches and captured queries
/// exist with the shapes of the verifier's problem, nobody writes what it reads or touches what it writes, nor the workspace, of which
/// no two steps use the same at a time, and verifier and workspace are kept. `stream` is null or one of the context. Structs are null
/// or of the size that their first field says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_score_target(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    step: *const dustin_step,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let own = unsafe { Call::read(verifier, workspace, step, stream)? };
        own.run(
            // SAFETY: as above.
            |verifier, stream, workspace, step| unsafe { verifier.score_target(stream, workspace, step) },
            // SAFETY: as above.
            |verifier, workspace, step| unsafe { verifier.score_target(workspace, step) },
        )
    })
}

/// Gathers this rank's share of the draft's map, once the draft model's forwards have left their queries and keys. An error if no set
/// depends on that map.
///
/// # Safety
/// As `dustin_verifier_score_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_score_draft(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    step: *const dustin_step,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let own = unsafe { Call::read(verifier, workspace, step, stream)? };
        own.run(
            // SAFETY: as above.
            |verifier, stream, workspace, step| unsafe { verifier.score_draft(stream, workspace, step) },
            // SAFETY: as above.
            |verifier, workspace, step| unsafe { verifier.score_draft(workspace, step) },
        )
    })
}

/// Chooses a set for each sequence from the maps, which under tensor parallelism the caller has summed over the ranks before: that is
/// the one point for its collective.
///
/// # Safety
/// As `dustin_verifier_score_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_select(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    step: *const dustin_step,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let own = unsafe { Call::read(verifier, workspace, step, stream)? };
        own.run(
            // SAFETY: as above.
            |verifier, stream, workspace, step| unsafe { verifier.select(stream, workspace, step) },
            // SAFETY: as above.
            |verifier, workspace, step| unsafe { verifier.select(workspace, step) },
        )
    })
}

/// Writes the step's own rows of `layer` behind the confirmed tokens of its caches and, if the problem says so, its queries to where
/// attention reads them.
///
/// # Safety
/// As `dustin_verifier_score_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_append(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    layer: u32,
    step: *const dustin_step,
    rows: *const dustin_append_rows,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let (own, rows) = unsafe {
            (Call::read(verifier, workspace, step, stream)?, versioned::read(OPERATION, "rows", rows)?)
        };
        let buffers = rows.buffers(own.verifier.stages())?;
        own.run(
            // SAFETY: as above.
            |verifier, stream, workspace, step| unsafe {
                verifier.append(stream, workspace, layer, step, &buffers)
            },
            // SAFETY: as above.
            |verifier, workspace, step| unsafe { verifier.append(workspace, layer, step, &rows, &buffers) },
        )
    })
}

/// Attention of `layer` over each sequence's set and the step's own rows.
///
/// # Safety
/// As `dustin_verifier_score_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_attention(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    layer: u32,
    step: *const dustin_step,
    rows: *const dustin_attention_rows,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let (own, rows) = unsafe {
            (Call::read(verifier, workspace, step, stream)?, versioned::read(OPERATION, "rows", rows)?)
        };
        let buffers = rows.buffers(own.verifier.stages())?;
        own.run(
            // SAFETY: as above.
            |verifier, stream, workspace, step| unsafe {
                verifier.attention(stream, workspace, layer, step, &buffers)
            },
            // SAFETY: as above.
            |verifier, workspace, step| unsafe {
                verifier.attend(false, workspace, layer, step, &rows, &buffers)
            },
        )
    })
}

/// Attention of `layer` over all confirmed tokens and the step's own rows, without loss: what `dustin_verifier_attention`
/// approximates.
///
/// # Safety
/// As `dustin_verifier_score_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_full_attention(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    layer: u32,
    step: *const dustin_step,
    rows: *const dustin_attention_rows,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let (own, rows) = unsafe {
            (Call::read(verifier, workspace, step, stream)?, versioned::read(OPERATION, "rows", rows)?)
        };
        let buffers = rows.buffers(own.verifier.stages())?;
        own.run(
            // SAFETY: as above.
            |verifier, stream, workspace, step| unsafe {
                verifier.full_attention(stream, workspace, layer, step, &buffers)
            },
            // SAFETY: as above.
            |verifier, workspace, step| unsafe {
                verifier.attend(true, workspace, layer, step, &rows, &buffers)
            },
        )
    })
}

/// Moves the accepted rows up behind the confirmed tokens in all layers of the target. A chain's rows are there already: that is for
/// trees.
///
/// # Safety
/// As `dustin_verifier_score_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_compact(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    step: *const dustin_step,
    accepted: *const dustin_accepted,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let (own, accepted) = unsafe {
            (
                Call::read(verifier, workspace, step, stream)?,
                versioned::read(OPERATION, "accepted", accepted)?,
            )
        };
        let buffers = accepted.buffers(own.verifier.stages())?;
        own.run(
            // SAFETY: as above.
            |verifier, stream, workspace, step| unsafe {
                verifier.compact(stream, workspace, step, &buffers)
            },
            // SAFETY: as above.
            |verifier, workspace, step| unsafe { verifier.compact(workspace, step, &accepted, &buffers) },
        )
    })
}
