//! What steps work in, and what stages have found.

use std::{
    ffi::c_void,
    sync::{Arc, Mutex, PoisonError},
};

use dustin::{cuda::VerifierWorkspace, verifier::Stage};
use dustin_kernels::fault::Fault;

use super::{
    OPERATION,
    create::{Runs, Verifier, dustin_verifier},
    report::STAGES,
};
use crate::{
    boundary::call,
    error::{Error, invalid},
    handle::{self, Handle},
    operation::device,
    status::dustin_status,
    text,
};

/// What the stages of a verifier's steps work in. Steps that overlap in time need one each; the stages of one step may run on several
/// streams.
pub struct dustin_verifier_workspace {
    _private: (),
}

impl Handle for dustin_verifier_workspace {
    type Value = Workspace;
    const KIND: &'static str = "verifier workspace";
}

/// What a workspace's handle stands for.
pub(crate) struct Workspace {
    verifier: Arc<Verifier>,
    space: Space,
}

enum Space {
    Cuda(VerifierWorkspace),
    Cpu(Mutex<Found>),
}

/// The highest fault that each stage has found on a CPU, and the sequence.
type Found = Vec<(Stage, Fault, u32)>;

impl Workspace {
    /// The memory on a GPU.
    ///
    /// # Errors
    /// It is that of another verifier.
    pub(super) fn of_gpu(&self, verifier: &Arc<Verifier>) -> Result<&VerifierWorkspace, Error> {
        match &self.space {
            Space::Cuda(workspace) if Arc::ptr_eq(&self.verifier, verifier) => Ok(workspace),
            _ => Err(other()),
        }
    }

    /// Takes down what a stage has found on a CPU.
    ///
    /// # Errors
    /// It is that of another verifier.
    pub(super) fn require_host(&self, verifier: &Arc<Verifier>) -> Result<(), Error> {
        match &self.space {
            Space::Cpu(_) if Arc::ptr_eq(&self.verifier, verifier) => Ok(()),
            _ => Err(other()),
        }
    }

    /// Takes down what stages have found on a CPU, unless it knows of something worse.
    pub(super) fn take_down(&self, found: Found) {
        let Space::Cpu(known) = &self.space else { return };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        for (stage, fault, sequence) in found {
            match known.iter_mut().find(|own| own.0 == stage) {
                Some(own) if own.1.word(own.2) < fault.word(sequence) => (own.1, own.2) = (fault, sequence),
                Some(_) => {}
                None => known.push((stage, fault, sequence)),
            }
        }
    }
}

fn other() -> Error {
    invalid(OPERATION, "workspace", "that of the verifier", "that of another one").into()
}

/// A workspace in the `bytes` bytes at `memory`, of the size that `dustin_verifier_get_sizes` says and aligned to 256 bytes, or in new
/// memory if `memory` is null. Readied in the stream's order. On a CPU there is no memory to bring: `memory` is null.
///
/// # Safety
/// The memory exists in the verifier's context until the result is destroyed, and nobody else touches it; `stream` is one of the
/// context; `workspace` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_workspace_create(
    verifier: *const dustin_verifier,
    memory: *mut c_void,
    bytes: u64,
    stream: *mut c_void,
    workspace: *mut *mut dustin_verifier_workspace,
) -> dustin_status {
    call(OPERATION, || {
        handle::require_place(OPERATION, workspace)?;
        let verifier = handle::find(OPERATION, "verifier", verifier)?;
        // SAFETY: the caller's promise, here and below.
        let stream = unsafe { verifier.context.stream(OPERATION, stream)? };
        let space = match (&verifier.runs, stream) {
            (Runs::Cuda(own), Some(stream)) if memory.is_null() => {
                Space::Cuda(VerifierWorkspace::allocate(&stream, own.plan())?)
            }
            (Runs::Cuda(own), Some(stream)) => {
                // SAFETY: as above.
                let space = unsafe { VerifierWorkspace::borrow(own.plan(), device(memory), bytes)? };
                space.initialise(&stream)?;
                Space::Cuda(space)
            }
            _ if memory.is_null() => Space::Cpu(Mutex::default()),
            _ => {
                let required = "null, as a CPU needs no memory for it";
                return Err(invalid(OPERATION, "memory", required, format!("{:#x}", memory.addr())).into());
            }
        };
        // SAFETY: as above.
        unsafe { handle::give(OPERATION, Workspace { verifier, space }, workspace) }
    })
}

/// What a `dustin_stage` has found wrong with the contents of arrays since that was cleared: the highest `dustin_fault`, 0 if there is
/// none, and the highest sequence that has it. Waits for the stream.
///
/// # Safety
/// `stream` is one of the context; `fault` and `sequence` are null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_workspace_status(
    workspace: *const dustin_verifier_workspace,
    stage: u32,
    stream: *mut c_void,
    fault: *mut u32,
    sequence: *mut u32,
) -> dustin_status {
    call(OPERATION, || {
        let workspace = handle::find(OPERATION, "workspace", workspace)?;
        let stage = STAGES.read(OPERATION, "stage", stage)?;
        // SAFETY: the caller's promise, here and below.
        let stream = unsafe { workspace.verifier.context.stream(OPERATION, stream)? };
        let found = match (&workspace.space, stream) {
            (Space::Cuda(space), Some(stream)) => space.status(&stream)?,
            (Space::Cpu(found), _) => found.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            // A workspace is of its verifier's kind.
            _ => unreachable!("a workspace for another device than the context's"),
        };
        let own = found.into_iter().find(|own| own.0 == stage);
        let (kind, at) = own.map_or((0, 0), |(_, fault, sequence)| (fault as u32, sequence));
        // SAFETY: as above.
        unsafe {
            text::number(OPERATION, "fault", fault, kind)?;
            text::number(OPERATION, "sequence", sequence, at)?;
        }
        Ok(())
    })
}

/// Forgets what all stages have found, in the stream's order. Does not wait.
///
/// # Safety
/// `stream` is one of the context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_workspace_clear_status(
    workspace: *const dustin_verifier_workspace,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        let workspace = handle::find(OPERATION, "workspace", workspace)?;
        // SAFETY: the caller's promise.
        let stream = unsafe { workspace.verifier.context.stream(OPERATION, stream)? };
        match (&workspace.space, stream) {
            (Space::Cuda(space), Some(stream)) => space.clear_status(&stream)?,
            (Space::Cpu(found), _) => found.lock().unwrap_or_else(PoisonError::into_inner).clear(),
            // A workspace is of its verifier's kind.
            _ => unreachable!("a workspace for another device than the context's"),
        }
        Ok(())
    })
}

/// Frees a workspace, once the steps that work in it have ended. Null is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn dustin_verifier_workspace_destroy(
    workspace: *mut dustin_verifier_workspace,
) -> dustin_status {
    call(OPERATION, || handle::destroy(OPERATION, workspace))
}
