//! A compiled kernel and its launch.

use std::{
    ffi::{CStr, c_int, c_void},
    fmt,
    sync::Arc,
};

use cudarc::driver::sys;
use dustin_kernels::registry::Entry;

use super::{context::Context, error::CudaError, stream::Stream};
use crate::error::InvalidInput;

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

/// A kernel, ready to launch, with the shared memory of its blocks, the size of its clusters, and whether it may overlap what is
/// launched before. Cheap to clone; the
/// module stays loaded until the last clone is dropped.
#[derive(Clone)]
pub struct Kernel {
    loaded: Arc<Loaded>,
    dynamic_bytes: u32,
    cluster: u32,
    overlaps: bool,
    resources: Resources,
}

/// A function of a loaded module.
pub(super) struct Loaded {
    context: Context,
    module: sys::CUmodule,
    function: sys::CUfunction,
    name: &'static str,
    threads: u32,
    /// Dynamic shared memory that one block can have at the most.
    most_dynamic_bytes: u32,
    /// As without dynamic shared memory.
    resources: Resources,
}

// SAFETY: the driver API's modules and functions may be used from any thread.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

impl Loaded {
    /// The module that `entry` lies in; unloaded when dropped.
    pub(super) fn new(context: &Context, entry: &Entry, module: sys::CUmodule) -> Self {
        Self {
            context: context.clone(),
            module,
            function: std::ptr::null_mut(),
            name: entry.name,
            threads: entry.threads,
            most_dynamic_bytes: 0,
            resources: Resources { registers: 0, local_bytes: 0, shared_bytes: 0, blocks_per_sm: 0 },
        }
    }

    /// Looks the function up, and lets its blocks have as much shared memory as the device gives one.
    pub(super) fn find(&mut self, name: &CStr, shared_bytes_per_block: u32) -> Result<(), CudaError> {
        let current = self.context.enter()?;
        // SAFETY: the module is loaded, the name ends with a NUL; the driver writes one function.
        unsafe { current.cuModuleGetFunction(&mut self.function, self.module, name.as_ptr())? };
        let function = self.function;

        use sys::CUfunction_attribute as Attribute;
        // Asking also makes a lazily loading driver load the function now, and not in a caller's graph capture.
        let get = |attribute| {
            let mut value = 0;
            // SAFETY: the function exists; the driver writes one integer.
            unsafe { current.cuFuncGetAttribute(&mut value, attribute, function)? };
            Ok::<_, CudaError>(value as u32)
        };
        let set = |attribute, value: u32| {
            // SAFETY: the function exists.
            unsafe { current.cuFuncSetAttribute(function, attribute, value as c_int) }
        };
        let static_bytes = get(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?;
        self.most_dynamic_bytes = shared_bytes_per_block.saturating_sub(static_bytes);
        set(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, self.most_dynamic_bytes)?;
        // What kernels read once bypasses L1, so all of the memory it shares with them serves blocks better.
        set(Attribute::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 100)?;
        self.resources = Resources {
            registers: get(Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
            local_bytes: get(Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
            shared_bytes: static_bytes,
            blocks_per_sm: 0,
        };
        Ok(())
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

impl Kernel {
    /// The function, launched with `dynamic_bytes` of dynamic shared memory for each block and without clusters.
    pub(super) fn new(loaded: Arc<Loaded>, dynamic_bytes: u32) -> Result<Self, CudaError> {
        if dynamic_bytes > loaded.most_dynamic_bytes {
            let required = format!("at most {} bytes on this device", loaded.most_dynamic_bytes);
            return Err(InvalidInput::new(loaded.name, "shared memory", required, dynamic_bytes).into());
        }
        let mut blocks = 0;
        // SAFETY: the function exists; the driver writes one integer.
        unsafe {
            loaded.context.enter()?.cuOccupancyMaxActiveBlocksPerMultiprocessor(
                &mut blocks,
                loaded.function,
                loaded.threads as c_int,
                dynamic_bytes as usize,
            )?;
        }
        let shared_bytes = loaded.resources.shared_bytes + dynamic_bytes;
        let resources = Resources { shared_bytes, blocks_per_sm: blocks as u32, ..loaded.resources };
        Ok(Self { loaded, dynamic_bytes, cluster: 1, overlaps: false, resources })
    }

    /// The same kernel with `bytes` of dynamic shared memory for each block.
    ///
    /// # Errors
    /// More than the device gives a block; what the driver returns.
    pub fn with_shared_bytes(&self, bytes: u32) -> Result<Self, CudaError> {
        let Self { loaded, cluster, overlaps, .. } = self;
        Ok(Self { cluster: *cluster, overlaps: *overlaps, ..Self::new(Arc::clone(loaded), bytes)? })
    }

    /// The same kernel in clusters of `blocks` neighbours along x: up to 8 on every device that has clusters. 1 is a
    /// launch without.
    #[must_use]
    pub fn with_cluster(&self, blocks: u32) -> Self {
        Self { cluster: blocks, ..self.clone() }
    }

    /// The same kernel, which where `overlaps` may start while what was launched before it on the stream still runs, as far as
    /// that lets it (programmatic dependent launch, compute capability 9.0 and later): it waits before it touches what that
    /// touches.
    #[must_use]
    pub(super) fn with_overlap(&self, overlaps: bool) -> Self {
        Self { overlaps, ..self.clone() }
    }

    /// What the kernel takes of a multiprocessor, as the driver compiled it.
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.resources
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
        let Loaded { context, function, threads, .. } = &*self.loaded;
        if stream.context() != context {
            return Err(InvalidInput::new(
                "kernel launch",
                "stream",
                format!("of {context:?}"),
                format!("of {:?}", stream.context()),
            )
            .into());
        }
        let mut attributes = [overlap_allowed(), cluster_dimension(self.cluster)];
        // One attribute may stand without the other, at either end.
        let attributes = match (self.overlaps, self.cluster != 1) {
            (false, false) => &mut attributes[..0],
            (true, false) => &mut attributes[..1],
            (false, true) => &mut attributes[1..],
            (true, true) => &mut attributes[..],
        };
        let config = sys::CUlaunchConfig {
            gridDimX: grid[0],
            gridDimY: grid[1],
            gridDimZ: grid[2],
            blockDimX: *threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: self.dynamic_bytes,
            hStream: stream.raw(),
            attrs: attributes.as_mut_ptr(),
            numAttrs: attributes.len() as u32,
        };
        let none = std::ptr::null_mut();
        // SAFETY: function and stream exist in the current context, the configuration and its attributes during the
        // call; the rest is the caller's promise.
        unsafe { context.enter()?.cuLaunchKernelEx(&config, *function, arguments.as_mut_ptr(), none) }
    }
}

/// The attribute of a launch that may overlap the one before.
fn overlap_allowed() -> sys::CUlaunchAttribute {
    sys::CUlaunchAttribute {
        id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
        pad: [0; 4],
        value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
    }
}

/// The attribute of a launch in clusters of `blocks` along x.
fn cluster_dimension(blocks: u32) -> sys::CUlaunchAttribute {
    sys::CUlaunchAttribute {
        id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
        pad: [0; 4],
        value: sys::CUlaunchAttributeValue {
            clusterDim: sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: blocks, y: 1, z: 1 },
        },
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("name", &self.loaded.name)
            .field("threads", &self.loaded.threads)
            .field("cluster", &self.cluster)
            .field("overlaps", &self.overlaps)
            .field("resources", &self.resources)
            .finish()
    }
}
