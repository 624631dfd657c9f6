//! The handle of a verifier, and what it tells of itself.

use std::sync::Arc;

use dustin::{
    cpu::CpuVerifier,
    cuda::{Stream, Verifier as CudaVerifier},
    profile::Read,
    verifier::{EngineMemory, Report, Stages, VerifierPlan, VerifierProblem},
};

use super::{
    OPERATION,
    engine::{dustin_engine_memory, dustin_verifier_sizes},
    host::HostVerifier,
    problem::dustin_verifier_problem,
};
use crate::{
    boundary::call,
    choice,
    context::{Context, Cpu, Device, dustin_context},
    error::{Error, invalid},
    handle::{self, Handle},
    memory::slice_mut,
    profile::dustin_profile,
    status::dustin_status,
    text, versioned,
};

/// All stages of a verification step, planned and compiled for the caches of an engine. May be used by several threads at once, each
/// step in a workspace of its own; on a CPU context they take turns.
pub struct dustin_verifier {
    _private: (),
}

impl Handle for dustin_verifier {
    type Value = Verifier;
    const KIND: &'static str = "verifier";
}

/// What a verifier's handle stands for.
pub(crate) struct Verifier {
    pub(super) context: Arc<Context>,
    pub(super) runs: Runs,
}

/// What runs the stages.
pub(super) enum Runs {
    Cuda(Box<CudaVerifier>),
    Cpu(Box<HostVerifier>),
}

impl Verifier {
    fn new(
        context: Arc<Context>,
        profile: Option<&Read>,
        problem: &VerifierProblem,
        memory: EngineMemory,
    ) -> Result<Self, Error> {
        let runs = match context.device() {
            Device::Cuda(modules) => {
                let plan =
                    VerifierPlan::new(problem, &choice::of_gpu(profile, modules), &modules.device().id())?;
                let stream = Stream::new(modules.context())?;
                Runs::Cuda(Box::new(CudaVerifier::new(modules, &stream, plan, &memory)?))
            }
            Device::Cpu(cpu) => {
                let backend = Cpu::backend_of(OPERATION, cpu.limits().threads)?;
                let verifier = CpuVerifier::new(backend, problem, &choice::of_cpu(profile, cpu), cpu.id())?;
                Runs::Cpu(Box::new(HostVerifier::new(verifier, memory)?))
            }
        };
        Ok(Self { context, runs })
    }

    pub(super) fn problem(&self) -> &VerifierProblem {
        match &self.runs {
            Runs::Cuda(verifier) => verifier.plan().problem(),
            Runs::Cpu(verifier) => verifier.problem(),
        }
    }

    pub(super) fn stages(&self) -> &Stages {
        match &self.runs {
            Runs::Cuda(verifier) => verifier.plan().stages(),
            Runs::Cpu(verifier) => verifier.stages(),
        }
    }

    pub(super) fn report(&self) -> &Report {
        match &self.runs {
            Runs::Cuda(verifier) => verifier.plan().report(),
            Runs::Cpu(verifier) => verifier.report(),
        }
    }

    fn sizes(&self) -> dustin_verifier_sizes {
        let workspace_bytes = match &self.runs {
            Runs::Cuda(verifier) => verifier.plan().workspace_bytes(),
            Runs::Cpu(_) => 0,
        };
        let widths = [self.problem().target_table_width(), self.problem().draft_table_width()];
        dustin_verifier_sizes::new(dustin::verifier::Sizes::new(self.stages()), workspace_bytes, widths)
    }
}

/// Plans and compiles all stages for the caches and captured queries at `memory`. On a GPU it puts tables of heads and layers into device
/// memory and waits for these; on a CPU the verifier has as many threads as the context, of its own. `profile` is null for built-in
/// choices. A profile for other shapes is no error: `dustin_verifier_report` says what serves each stage, and why.
///
/// # Safety
/// `problem` and `memory` are null or structs of the size that their first field says, and so is all that they point to; what `memory`
/// names exists in the context, with the shapes of the problem, until the verifier is destroyed; `verifier` is null or may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_create(
    context: *const dustin_context,
    profile: *const dustin_profile,
    problem: *const dustin_verifier_problem,
    memory: *const dustin_engine_memory,
    verifier: *mut *mut dustin_verifier,
) -> dustin_status {
    call(OPERATION, || {
        handle::require_place(OPERATION, verifier)?;
        let context = handle::find(OPERATION, "context", context)?;
        let profile = handle::find_optional(OPERATION, "profile", profile)?;
        let profile = profile.as_deref();
        // SAFETY: the caller's promise.
        let (problem, memory) = unsafe {
            let problem = versioned::read(OPERATION, "problem", problem)?.read(profile)?;
            (problem, dustin_engine_memory::read(memory)?)
        };
        let made = Verifier::new(context, profile, &problem, memory)?;
        // SAFETY: the caller's promise.
        unsafe { handle::give(OPERATION, made, verifier) }
    })
}

/// How many items a problem's arrays have: before the memory exists that a verifier is made with. `workspace_bytes` is left at 0.
///
/// # Safety
/// `problem` and `sizes` are null or structs of the size that their first field says, and so is all that the problem points to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_problem_sizes(
    profile: *const dustin_profile,
    problem: *const dustin_verifier_problem,
    sizes: *mut dustin_verifier_sizes,
) -> dustin_status {
    call(OPERATION, || {
        let profile = handle::find_optional(OPERATION, "profile", profile)?;
        // SAFETY: the caller's promise.
        let problem = unsafe { versioned::read(OPERATION, "problem", problem)?.read(profile.as_deref())? };
        let widths = [problem.target_table_width(), problem.draft_table_width()];
        let found = dustin::verifier::Sizes::new(&Stages::new(&problem)?);
        // SAFETY: as above.
        unsafe {
            versioned::write(OPERATION, "sizes", sizes, &dustin_verifier_sizes::new(found, 0, widths))?
        };
        Ok(())
    })
}

/// How many items the arrays of a verifier's steps have, and how many bytes their workspace.
///
/// # Safety
/// `sizes` is null or a struct of the size that its first field says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_get_sizes(
    verifier: *const dustin_verifier,
    sizes: *mut dustin_verifier_sizes,
) -> dustin_status {
    call(OPERATION, || {
        let verifier = handle::find(OPERATION, "verifier", verifier)?;
        // SAFETY: the caller's promise.
        unsafe { versioned::write(OPERATION, "sizes", sizes, &verifier.sizes())? };
        Ok(())
    })
}

/// The heads whose queries are captured on this rank, in the order in which their queries stand side by side: of the target, or with
/// `draft` = 1 of the draft. Writes up to `capacity` layers and heads, the heads by this rank's numbers, and to `count` how many
/// there are.
///
/// # Safety
/// `layers` and `heads` have room for `capacity` numbers each, or it is 0; `count` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_captured(
    verifier: *const dustin_verifier,
    draft: u32,
    layers: *mut u32,
    heads: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> dustin_status {
    call(OPERATION, || {
        let verifier = handle::find(OPERATION, "verifier", verifier)?;
        let captured = match draft {
            0 => &verifier.stages().target_captured,
            1 => &verifier.stages().draft_captured,
            _ => return Err(invalid(OPERATION, "draft", "0 or 1", draft).into()),
        };
        // SAFETY: the caller's promise.
        let (layers, heads): (&mut [u32], &mut [u32]) = unsafe {
            text::number(OPERATION, "count", count, captured.heads() as usize)?;
            (
                slice_mut(OPERATION, "layers", layers.cast(), capacity as u64)?,
                slice_mut(OPERATION, "heads", heads.cast(), capacity as u64)?,
            )
        };
        let all = captured.layers.iter().flat_map(|own| own.heads.iter().map(|&head| (own.layer, head)));
        for ((layer, head), own) in layers.iter_mut().zip(heads).zip(all) {
            (*layer, *head) = own;
        }
        Ok(())
    })
}

/// Frees a verifier, once its steps and the graphs that captured them have ended. Null is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn dustin_verifier_destroy(verifier: *mut dustin_verifier) -> dustin_status {
    call(OPERATION, || handle::destroy(OPERATION, verifier))
}
