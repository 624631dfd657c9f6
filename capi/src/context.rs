//! Contexts: where launches run.

use std::{
    ffi::{c_char, c_void},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dustin::{
    InvalidInput,
    cpu::{self, CpuBackend, CpuLimits},
    cuda::{Context as CudaContext, ModuleCache, Stream},
    profile::DeviceId,
};

use crate::{
    boundary::call,
    error::{Error, invalid},
    handle::{self, Handle},
    status::dustin_status,
    text,
};

const OPERATION: &str = "context";

/// Where launches run: a CUDA context with the kernels that were compiled for it, or threads of the CPU. May be used by several
/// threads at once; launches of one CPU context take turns.
pub struct dustin_context {
    _private: (),
}

impl Handle for dustin_context {
    type Value = Context;
    const KIND: &'static str = "context";
}

/// What a context handle stands for.
pub(crate) struct Context {
    device: Device,
}

/// The device of a context.
pub(crate) enum Device {
    Cuda(ModuleCache),
    Cpu(Cpu),
}

/// The CPU back end of a context.
pub(crate) struct Cpu {
    backend: Mutex<CpuBackend>,
    limits: CpuLimits,
    id: DeviceId,
}

impl Context {
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The stream of a launch: nothing on a CPU.
    ///
    /// # Safety
    /// On a GPU, `raw` is null or a stream of the context, which exists as long as the result.
    ///
    /// # Errors
    /// A stream on a CPU.
    pub(crate) unsafe fn stream(
        &self,
        operation: &'static str,
        raw: *mut c_void,
    ) -> Result<Option<Stream>, InvalidInput> {
        match &self.device {
            // SAFETY: the caller's promise.
            Device::Cuda(modules) => Ok(Some(unsafe { Stream::borrow(modules.context(), raw) })),
            Device::Cpu(_) if raw.is_null() => Ok(None),
            Device::Cpu(_) => {
                let required = "null, as a CPU context has no streams";
                Err(invalid(operation, "stream", required, format!("{:#x}", raw.addr())))
            }
        }
    }
}

impl Cpu {
    /// A back end of `threads` threads, or of one for each hardware thread if 0.
    pub(crate) fn backend_of(operation: &'static str, threads: u32) -> Result<CpuBackend, Error> {
        // Far beyond any machine, and few enough for the operating system to refuse them one by one.
        const MOST: u32 = 4096;
        if threads > MOST {
            return Err(invalid(operation, "threads", format!("at most {MOST}"), threads).into());
        }
        CpuBackend::new(threads).map_err(|error| {
            let reason = error.to_string();
            Error::Threads { operation, threads, reason }
        })
    }

    /// The back end, for the time of a launch.
    pub(crate) fn backend(&self) -> MutexGuard<'_, CpuBackend> {
        // After a panic it holds scratch memory alone, which launches write before they read it.
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What bounds a launch.
    pub(crate) fn limits(&self) -> CpuLimits {
        self.limits
    }

    /// The CPU's model, as profiles know it.
    pub(crate) fn id(&self) -> &DeviceId {
        &self.id
    }
}

/// A context on the CPU with `threads` threads, 0 for one for each hardware thread. All addresses that it is given are of host
/// memory, streams are null, and a launch has ended when its call returns.
///
/// # Safety
/// `context` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_context_create_cpu(
    threads: u32,
    context: *mut *mut dustin_context,
) -> dustin_status {
    call(OPERATION, || {
        handle::require_place(OPERATION, context)?;
        let backend = Cpu::backend_of(OPERATION, threads)?;
        let limits = backend.limits();
        let cpu = Cpu { backend: Mutex::new(backend), limits, id: DeviceId::cpu(cpu::name()) };
        // SAFETY: the caller's promise.
        unsafe { handle::give(OPERATION, Context { device: Device::Cpu(cpu) }, context) }
    })
}

/// The primary context of the CUDA device `ordinal`, the one that the CUDA runtime uses.
///
/// # Safety
/// `context` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_context_create_cuda(
    ordinal: u32,
    context: *mut *mut dustin_context,
) -> dustin_status {
    call(OPERATION, || {
        handle::require_place(OPERATION, context)?;
        let modules = ModuleCache::new(&CudaContext::new(ordinal)?)?;
        // SAFETY: the caller's promise.
        unsafe { handle::give(OPERATION, Context { device: Device::Cuda(modules) }, context) }
    })
}

/// A caller's `CUcontext`, of whichever binding.
///
/// # Safety
/// `cu_context` exists until the result and all that was made with it are destroyed; `context` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_context_borrow_cuda(
    cu_context: *mut c_void,
    context: *mut *mut dustin_context,
) -> dustin_status {
    call(OPERATION, || {
        handle::require_place(OPERATION, context)?;
        // SAFETY: the caller's promise.
        let modules = ModuleCache::new(&unsafe { CudaContext::borrow(cu_context)? })?;
        // SAFETY: the caller's promise.
        unsafe { handle::give(OPERATION, Context { device: Device::Cuda(modules) }, context) }
    })
}

/// Whether a context is one of CUDA: writes 1 or 0.
///
/// # Safety
/// `is_cuda` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_context_is_cuda(
    context: *const dustin_context,
    is_cuda: *mut u32,
) -> dustin_status {
    call(OPERATION, || {
        let context = handle::find(OPERATION, "context", context)?;
        let answer = u32::from(matches!(context.device(), Device::Cuda(_)));
        // SAFETY: the caller's promise.
        unsafe { text::number(OPERATION, "is_cuda", is_cuda, answer) }.map_err(Error::from)
    })
}

/// The device of a context in words, by the name that profiles know it by.
///
/// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
/// `capacity` is 0.
///
/// # Safety
/// `capacity` bytes at `text` may be written, and `length`, unless they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_context_device_name(
    context: *const dustin_context,
    text: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> dustin_status {
    call(OPERATION, || {
        let context = handle::find(OPERATION, "context", context)?;
        let name = match context.device() {
            Device::Cuda(modules) => &modules.device().name,
            Device::Cpu(cpu) => &cpu.id().name,
        };
        // SAFETY: the caller's promise.
        unsafe { text::output(OPERATION, name, text, capacity, length) }.map_err(Error::from)
    })
}

/// Frees a context. What was made with it keeps what it needs of it. Null is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn dustin_context_destroy(context: *mut dustin_context) -> dustin_status {
    call(OPERATION, || handle::destroy(OPERATION, context))
}
