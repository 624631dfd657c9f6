//! Compiled kernels: each variant's PTX is compiled by the driver once per context.

use std::{
    collections::HashMap,
    ffi::{CString, c_void},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cudarc::driver::sys;
use dustin_kernels::registry::{
    AcceptRowsVariant, AcceptWalkVariant, AppendVariant, AttentionVariant, CaptureVariant, CompactVariant,
    Entry, FoldVariant, LogitsVariant, SelectVariant,
};

use super::{
    context::Context,
    device_info::DeviceInfo,
    error::CudaError,
    kernel::{Kernel, Loaded},
};
use crate::error::InvalidInput;

/// The codes by which the driver refuses PTX: an invalid image or PTX, none for the GPU, no compiler, a newer
/// version.
const PTX_REFUSED: &[i32] = &[200, 209, 218, 221, 222];
const LOG_BYTES: usize = 8 << 10;

/// The kernels that have been compiled for one context, by the name of their entry.
#[derive(Debug)]
pub struct ModuleCache {
    context: Context,
    device: DeviceInfo,
    kernels: Mutex<HashMap<&'static str, Slot>>,
}

/// A kernel's place in the cache, locked while it is compiled: two threads that ask for the same kernel must not both
/// compile it, and two that ask for different ones need not wait for each other.
type Slot = Arc<Mutex<Option<Kernel>>>;

impl ModuleCache {
    /// An empty cache.
    ///
    /// # Errors
    /// What the driver returns when asked about the device.
    pub fn new(context: &Context) -> Result<Self, CudaError> {
        let device = DeviceInfo::new(context)?;
        Ok(Self { context: context.clone(), device, kernels: Mutex::default() })
    }

    /// The context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The context's device.
    #[must_use]
    pub fn device(&self) -> &DeviceInfo {
        &self.device
    }

    /// The kernel of an attention variant, compiled on first use (some tens of milliseconds).
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn attention(&self, variant: &AttentionVariant) -> Result<Kernel, CudaError> {
        self.kernel(&variant.entry(), variant.ptx.text())
    }

    /// The kernel of a `logits` variant of scoring, without shared memory.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn logits(&self, variant: &LogitsVariant) -> Result<Kernel, CudaError> {
        let entry = Entry { shared_bytes: 0, ..variant.entry() };
        self.kernel(&entry, variant.ptx.text())
    }

    /// The kernel of a `fold` variant of scoring, without shared memory.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn fold(&self, variant: &FoldVariant) -> Result<Kernel, CudaError> {
        let entry = Entry { shared_bytes: 0, ..variant.entry() };
        self.kernel(&entry, variant.ptx.text())
    }

    /// The kernel of a selection variant, without clusters.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn select(&self, variant: &SelectVariant) -> Result<Kernel, CudaError> {
        self.kernel(&variant.entry(), variant.ptx.text())
    }

    /// The kernel of an `append` variant.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn append(&self, variant: &AppendVariant) -> Result<Kernel, CudaError> {
        self.kernel(&variant.entry(), variant.ptx.text())
    }

    /// The kernel of a `compact` variant.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn compact(&self, variant: &CompactVariant) -> Result<Kernel, CudaError> {
        self.kernel(&variant.entry(), variant.ptx.text())
    }

    /// The kernel of a `capture` variant.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn capture(&self, variant: &CaptureVariant) -> Result<Kernel, CudaError> {
        self.kernel(&variant.entry(), variant.ptx.text())
    }

    /// The kernel of an `accept_rows` variant.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn accept_rows(&self, variant: &AcceptRowsVariant) -> Result<Kernel, CudaError> {
        self.kernel(&variant.entry(), variant.ptx.text())
    }

    /// The kernel of an `accept_walk` variant, without clusters.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn accept_walk(&self, variant: &AcceptWalkVariant) -> Result<Kernel, CudaError> {
        self.kernel(&variant.entry(), variant.ptx.text())
    }

    /// The kernel of `entry`, compiled from `ptx` on first use.
    ///
    /// # Errors
    /// [`CudaError::InvalidInput`] if the entry is made for other devices or needs more shared memory than this one
    /// has; [`CudaError::PtxMissing`]; [`CudaError::PtxRejected`]; what the driver returns.
    pub fn kernel(&self, entry: &Entry, ptx: Option<&'static str>) -> Result<Kernel, CudaError> {
        let slot = Arc::clone(lock(&self.kernels).entry(entry.name).or_default());
        let mut slot = lock(&slot);
        if let Some(kernel) = &*slot {
            return Ok(kernel.clone());
        }
        self.check(entry)?;
        let ptx = ptx.ok_or(CudaError::PtxMissing { entry: entry.name })?;
        let loaded = Arc::new(load(&self.context, &self.device, entry, ptx)?);
        let kernel = Kernel::new(loaded, entry.shared_bytes)?;
        *slot = Some(kernel.clone());
        Ok(kernel)
    }

    fn check(&self, entry: &Entry) -> Result<(), CudaError> {
        let device = &self.device;
        let (major, minor) = device.compute_capability;
        if !entry.target.runs_on(major, minor) {
            let required = format!("a device that runs {}", entry.target.name());
            return Err(InvalidInput::new(
                entry.name,
                "compute capability",
                required,
                format!("{major}.{minor}"),
            )
            .into());
        }
        if entry.shared_bytes > device.shared_bytes_per_block {
            let required = format!("at most {} bytes on this device", device.shared_bytes_per_block);
            return Err(InvalidInput::new(entry.name, "shared memory", required, entry.shared_bytes).into());
        }
        Ok(())
    }
}

/// A thread that panicked cannot have left the cache half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load(
    context: &Context,
    device: &DeviceInfo,
    entry: &Entry,
    ptx: &'static str,
) -> Result<Loaded, CudaError> {
    let module = compile(context, entry.name, ptx)?;
    // From here on dropping unloads the module.
    let mut loaded = Loaded::new(context, entry, module);
    let name = c_string(entry.name, entry.name)?;
    loaded.find(&name, device.shared_bytes_per_block)?;
    Ok(loaded)
}

fn compile(context: &Context, entry: &'static str, ptx: &str) -> Result<sys::CUmodule, CudaError> {
    let text = c_string(entry, ptx)?;
    let mut log = vec![0u8; LOG_BYTES];
    let mut keys =
        [sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // The driver takes integers in the place of pointers here.
    let mut values = [log.as_mut_ptr().cast::<c_void>(), std::ptr::without_provenance_mut(LOG_BYTES)];
    let mut module = std::ptr::null_mut();
    let current = context.enter()?;
    // SAFETY: the text ends with a NUL; there are as many values as keys; the log has the size that is given.
    let status = unsafe {
        current.cuModuleLoadDataEx(
            &mut module,
            text.as_ptr().cast(),
            keys.len() as u32,
            keys.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    match status {
        Ok(()) => Ok(module),
        Err(CudaError::Driver { code, name, .. }) if PTX_REFUSED.contains(&code) => {
            let end = log.iter().position(|&byte| byte == 0).unwrap_or(LOG_BYTES);
            let log = String::from_utf8_lossy(&log[..end]).trim().to_owned();
            Err(CudaError::PtxRejected { entry, name, log })
        }
        Err(error) => Err(error),
    }
}

fn c_string(entry: &'static str, text: &str) -> Result<CString, CudaError> {
    CString::new(text).map_err(|error| {
        InvalidInput::new(entry, "PTX", "text without NUL", format!("a NUL at byte {}", error.nul_position()))
            .into()
    })
}
