//! What a kind of operation is: its problem, its plan on each device, and how that is launched. What all kinds share in their making
//! and launching is done here once; the functions of the header, which cbindgen reads as they stand, lead here.

use std::ffi::c_void;

use dustin::{
    InvalidInput,
    cpu::CpuBackend,
    cuda::{ModuleCache, Stream},
    profile::Read,
    verifier::Served,
};

use crate::{
    boundary::call,
    context::{Context, Cpu, Device, dustin_context},
    error::Error,
    handle,
    operation::{Operation, Space, dustin_operation},
    profile::dustin_profile,
    status::dustin_status,
    versioned::{self, Versioned},
};

/// A kind of operation, by the struct that describes its problem.
pub(crate) trait Kind: Versioned + 'static {
    /// The operation, for messages.
    const OPERATION: &'static str;
    /// Its handles, for messages.
    const HANDLE: &'static str;
    /// What the struct comes down to.
    type Problem: Send + Sync;
    /// What a GPU launches.
    type Kernel: Send + Sync;
    /// What a CPU runs by.
    type Candidate: Send + Sync;
    /// The arrays of a launch.
    type Args: Versioned;

    /// The problem, validated.
    ///
    /// # Safety
    /// Lists that the struct points to have as many items as it says.
    unsafe fn read(&self) -> Result<Self::Problem, InvalidInput>;

    /// Plans the operation on a GPU, and compiles it.
    fn on_gpu(
        modules: &ModuleCache,
        profile: Option<&Read>,
        problem: &Self::Problem,
    ) -> Result<(Self::Kernel, Served, Space), Error>;

    /// Plans it on a CPU.
    fn on_cpu(
        cpu: &Cpu,
        profile: Option<&Read>,
        problem: &Self::Problem,
    ) -> Result<(Self::Candidate, Served), InvalidInput>;

    /// Launches it on a GPU.
    ///
    /// # Safety
    /// As the launch of the header.
    unsafe fn launch(
        kernel: &Self::Kernel,
        stream: &Stream,
        problem: &Self::Problem,
        args: &Self::Args,
    ) -> Result<(), Error>;

    /// Runs it on a CPU.
    ///
    /// # Safety
    /// As the launch of the header.
    unsafe fn run(
        candidate: &Self::Candidate,
        backend: &mut CpuBackend,
        problem: &Self::Problem,
        args: &Self::Args,
    ) -> Result<(), Error>;
}

/// A problem of a kind, and what launches it on the context's device.
struct Planned<K: Kind> {
    problem: K::Problem,
    launch: Launch<K>,
}

enum Launch<K: Kind> {
    Gpu(K::Kernel),
    Cpu(K::Candidate),
}

impl<K: Kind> Planned<K> {
    fn new(
        context: &Context,
        profile: Option<&Read>,
        problem: K::Problem,
    ) -> Result<(Self, Served, Space), Error> {
        let (launch, served, space) = match context.device() {
            Device::Cuda(modules) => {
                let (kernel, served, space) = K::on_gpu(modules, profile, &problem)?;
                (Launch::Gpu(kernel), served, space)
            }
            Device::Cpu(cpu) => {
                let (candidate, served) = K::on_cpu(cpu, profile, &problem)?;
                (Launch::Cpu(candidate), served, Space::CPU)
            }
        };
        Ok((Self { problem, launch }, served, space))
    }
}

/// Makes the operation of `problem`. `profile` is null for built-in choices.
///
/// # Safety
/// `problem` is null or a struct of the size that its first field says, whose lists have as many items as it says; `operation` is
/// null or may be written.
pub(crate) unsafe fn create<K: Kind>(
    context: *const dustin_context,
    profile: *const dustin_profile,
    problem: *const K,
    operation: *mut *mut dustin_operation,
) -> dustin_status {
    call(K::OPERATION, || {
        handle::require_place(K::OPERATION, operation)?;
        let context = handle::find(K::OPERATION, "context", context)?;
        let profile = handle::find_optional(K::OPERATION, "profile", profile)?;
        // SAFETY: the caller's promise.
        let problem = unsafe { versioned::read(K::OPERATION, "problem", problem)?.read()? };
        let (planned, served, space) = Planned::<K>::new(&context, profile.as_deref(), problem)?;
        let made = Operation { context, handle: K::HANDLE, planned: Box::new(planned), served, space };
        // SAFETY: the caller's promise.
        unsafe { handle::give(K::OPERATION, made, operation) }
    })
}

/// Launches an operation, which must be of this kind.
///
/// # Safety
/// `args` is null or a struct of the size that its first field says, of which the launch's promise holds; `stream` is null or one of
/// the operation's context.
pub(crate) unsafe fn launch<K: Kind>(
    operation: *const dustin_operation,
    args: *const K::Args,
    stream: *mut c_void,
) -> dustin_status {
    call(K::OPERATION, || {
        let operation = handle::find(K::OPERATION, "operation", operation)?;
        let Some(Planned { problem, launch }) = operation.planned.downcast_ref::<Planned<K>>() else {
            return Err(Error::Handle {
                operation: K::OPERATION,
                field: "operation",
                required: K::HANDLE,
                actual: format!("a live {} handle", operation.handle),
            });
        };
        // SAFETY: the caller's promise.
        let (args, stream) = unsafe {
            (versioned::read(K::OPERATION, "args", args)?, operation.context.stream(K::OPERATION, stream)?)
        };
        match (launch, operation.context.device(), stream) {
            // SAFETY: the caller's promise.
            (Launch::Gpu(kernel), _, Some(stream)) => unsafe { K::launch(kernel, &stream, problem, &args) },
            (Launch::Cpu(candidate), Device::Cpu(cpu), _) => {
                // Launches take turns from before they look at arrays: those that overlap may write different rows of one cache.
                let mut backend = cpu.backend();
                // SAFETY: the caller's promise.
                unsafe { K::run(candidate, &mut backend, problem, &args) }
            }
            // An operation's launch is of its context's kind.
            _ => unreachable!("a launch for another device than the context's"),
        }
    })
}
