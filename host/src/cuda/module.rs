//! Compiled kernels: each variant's PTX is compiled by the driver once per context.

use std::{
    collections::HashMap,
    ffi::{CString, c_int, c_void},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cudarc::driver::sys;
use dustin_kernels::registry::{AttentionVariant, Entry};

use super::{context::Context, device_info::DeviceInfo, error::CudaError, stream::Stream};
use crate::error::InvalidInput;

/// The codes by which the driver refuses PTX: an invalid image or PTX, none for the GPU, no compiler, a newer
/// version.
const PTX_REFUSED: &[i32] = &[200, 209, 218, 221, 222];
const LOG_BYTES: usize = 8 << 10;

/// What a compiled kernel takes of a multiprocessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Registers of one thread.
    pub registers: u32,
    /// Local memory of one thread in bytes: spills and stack.
    pub local_bytes: u32,
    /// Static and dynamic shared memory of one block in bytes.
    pub shared_bytes: u32,
    /// Blocks that fit one multiprocessor.
    pub blocks_per_sm: u32,
}

/// A kernel, ready to launch. Cheap to clone; the module stays loaded until the last clone is dropped.
#[derive(Clone)]
pub struct Kernel(Arc<Loaded>);

struct Loaded {
    context: Context,
    module: sys::CUmodule,
    function: sys::CUfunction,
    threads: u32,
    dynamic_bytes: u32,
    resources: Resources,
}

// SAFETY: the driver API's modules and functions may be used from any thread.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

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
        let entry = Entry {
            name: variant.id,
            target: variant.target,
            threads: variant.tile.threads(),
            shared_bytes: variant.shared_bytes(),
        };
        self.kernel(&entry, variant.ptx.text())
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
        let kernel = Kernel(Arc::new(load(&self.context, entry, ptx)?));
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

impl Kernel {
    /// What the kernel takes of a multiprocessor, as the driver compiled it.
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.0.resources
    }

    /// Launches `grid` blocks on `stream`, which belongs to the kernel's context. Allocates nothing and does not
    /// wait.
    ///
    /// # Safety
    /// `arguments` points to one value for each of the kernel's parameters, of its type, and the kernel's own
    /// contract holds until the launch has ended.
    ///
    /// # Errors
    /// A stream of another context; what the driver returns.
    pub unsafe fn launch(
        &self,
        stream: &Stream,
        grid: [u32; 3],
        arguments: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        let Loaded { context, function, threads, dynamic_bytes, .. } = &*self.0;
        if stream.context() != context {
            return Err(InvalidInput::new(
                "kernel launch",
                "stream",
                format!("of {context:?}"),
                format!("of {:?}", stream.context()),
            )
            .into());
        }
        let ([x, y, z], none) = (grid, std::ptr::null_mut());
        // SAFETY: function and stream exist in the current context; the rest is the caller's promise.
        unsafe {
            context.enter()?.cuLaunchKernel(
                *function,
                x,
                y,
                z,
                *threads,
                1,
                1,
                *dynamic_bytes,
                stream.raw(),
                arguments.as_mut_ptr(),
                none,
            )
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("function", &self.0.function)
            .field("threads", &self.0.threads)
            .field("resources", &self.0.resources)
            .finish()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if let Ok(current) = self.context.enter() {
            // SAFETY: this value loaded the module.
            let _ = unsafe { current.cuModuleUnload(self.module) };
        }
    }
}

/// A thread that panicked cannot have left the cache half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load(context: &Context, entry: &Entry, ptx: &str) -> Result<Loaded, CudaError> {
    let module = compile(context, entry.name, ptx)?;
    // From here on dropping unloads the module.
    let mut loaded = Loaded {
        context: context.clone(),
        module,
        function: std::ptr::null_mut(),
        threads: entry.threads,
        dynamic_bytes: entry.shared_bytes,
        resources: Resources { registers: 0, local_bytes: 0, shared_bytes: 0, blocks_per_sm: 0 },
    };
    let name = c_string(entry.name, entry.name)?;
    let current = context.enter()?;
    // SAFETY: the module is loaded, the name ends with a NUL; the driver writes one function.
    unsafe { current.cuModuleGetFunction(&mut loaded.function, module, name.as_ptr())? };
    let function = loaded.function;

    use sys::CUfunction_attribute as Attribute;
    let set = |attribute, value: u32| {
        // SAFETY: the function exists.
        unsafe { current.cuFuncSetAttribute(function, attribute, value as c_int) }
    };
    set(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, entry.shared_bytes)?;
    // Gathered rows bypass L1, so all of the memory it shares with them serves blocks better.
    set(Attribute::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 100)?;

    // Asking also makes a lazily loading driver load the function now, and not in a caller's graph capture.
    let get = |attribute| {
        let mut value = 0;
        // SAFETY: the function exists; the driver writes one integer.
        unsafe { current.cuFuncGetAttribute(&mut value, attribute, function)? };
        Ok::<_, CudaError>(value as u32)
    };
    let mut blocks = 0;
    // SAFETY: the function exists; the driver writes one integer.
    unsafe {
        current.cuOccupancyMaxActiveBlocksPerMultiprocessor(
            &mut blocks,
            function,
            entry.threads as c_int,
            entry.shared_bytes as usize,
        )?;
    }
    loaded.resources = Resources {
        registers: get(Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
        local_bytes: get(Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
        shared_bytes: get(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)? + entry.shared_bytes,
        blocks_per_sm: blocks as u32,
    };
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
