//! The driver's functions that are used.
//!
//! Types come from cudarc's bindings, and each signature is checked against them at compile time. The functions are
//! called through this table rather than through the bindings for two reasons: the bindings panic on a function that
//! the library lacks, where loading the table says which one; and they return the status as an enum, which is
//! undefined behaviour for a code newer than the bindings.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_ulonglong, c_void};

use cudarc::driver::sys;
use libloading::Library;

use super::error::CudaError;

const SUCCESS: c_int = 0;

type GetErrorName = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;

/// The function `symbol` of the library.
///
/// # Safety
/// `F` is the type of that function.
pub(super) unsafe fn load<F: Copy>(library: &Library, symbol: &'static str) -> Result<F, CudaError> {
    // SAFETY: the caller's promise.
    let function = unsafe { library.get::<F>(symbol) };
    function.map(|function| *function).map_err(|_| CudaError::SymbolMissing { symbol })
}

macro_rules! functions {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        /// The functions of a loaded driver library. Each method calls the function of its name and turns its status
        /// into a result.
        #[allow(non_snake_case)]
        pub(super) struct Functions {
            cuGetErrorName: GetErrorName,
            $($name: unsafe extern "C" fn($($type),*) -> c_int,)*
        }

        /// The driver's functions that must be there.
        pub const SYMBOLS: &[&str] = &["cuDriverGetVersion", "cuGetErrorName", $(stringify!($name)),*];

        // The bindings agree with every signature.
        $(const _: unsafe fn($($type),*) -> sys::CUresult = sys::$name;)*

        impl Functions {
            /// Loads every function, or names the first that is missing.
            ///
            /// # Safety
            /// The library is a CUDA driver.
            pub(super) unsafe fn load(library: &Library) -> Result<Self, CudaError> {
                Ok(Self {
                    // SAFETY: the driver API's signature, with the status as the integer that it is in C.
                    cuGetErrorName: unsafe { load(library, "cuGetErrorName")? },
                    $(
                        // SAFETY: the driver API's signature, as the bindings have it.
                        $name: unsafe { load(library, stringify!($name))? },
                    )*
                })
            }
        }

        #[allow(non_snake_case, clippy::too_many_arguments, clippy::missing_safety_doc)]
        impl Functions {
            $(pub(super) unsafe fn $name(&self, $($argument: $type),*) -> Result<(), CudaError> {
                // SAFETY: the caller's promise is the driver API's contract for this function.
                let code = unsafe { (self.$name)($($argument),*) };
                self.check(stringify!($name), code)
            })*
        }
    };
}

functions! {
    cuInit(flags: c_uint);
    cuDeviceGetCount(count: *mut c_int);
    cuDeviceGet(device: *mut sys::CUdevice, ordinal: c_int);
    cuDeviceGetName(name: *mut c_char, len: c_int, device: sys::CUdevice);
    cuDeviceGetAttribute(value: *mut c_int, attribute: sys::CUdevice_attribute, device: sys::CUdevice);
    cuDeviceGetPCIBusId(id: *mut c_char, len: c_int, device: sys::CUdevice);
    cuDeviceTotalMem_v2(bytes: *mut usize, device: sys::CUdevice);
    cuDevicePrimaryCtxRetain(context: *mut sys::CUcontext, device: sys::CUdevice);
    cuDevicePrimaryCtxRelease_v2(device: sys::CUdevice);
    cuCtxPushCurrent_v2(context: sys::CUcontext);
    cuCtxPopCurrent_v2(context: *mut sys::CUcontext);
    cuCtxGetDevice(device: *mut sys::CUdevice);
    cuStreamCreate(stream: *mut sys::CUstream, flags: c_uint);
    cuStreamDestroy_v2(stream: sys::CUstream);
    cuStreamSynchronize(stream: sys::CUstream);
    cuStreamQuery(stream: sys::CUstream);
    cuStreamWaitEvent(stream: sys::CUstream, event: sys::CUevent, flags: c_uint);
    cuStreamBeginCapture_v2(stream: sys::CUstream, mode: sys::CUstreamCaptureMode);
    cuStreamEndCapture(stream: sys::CUstream, graph: *mut sys::CUgraph);
    cuGraphInstantiateWithFlags(executable: *mut sys::CUgraphExec, graph: sys::CUgraph, flags: c_ulonglong);
    cuGraphDestroy(graph: sys::CUgraph);
    cuGraphExecDestroy(executable: sys::CUgraphExec);
    cuGraphUpload(executable: sys::CUgraphExec, stream: sys::CUstream);
    cuGraphLaunch(executable: sys::CUgraphExec, stream: sys::CUstream);
    cuEventCreate(event: *mut sys::CUevent, flags: c_uint);
    cuEventDestroy_v2(event: sys::CUevent);
    cuEventRecord(event: sys::CUevent, stream: sys::CUstream);
    cuEventSynchronize(event: sys::CUevent);
    cuEventElapsedTime(milliseconds: *mut f32, start: sys::CUevent, end: sys::CUevent);
    cuMemAlloc_v2(address: *mut sys::CUdeviceptr, bytes: usize);
    cuMemFree_v2(address: sys::CUdeviceptr);
    cuMemGetInfo_v2(free: *mut usize, total: *mut usize);
    cuMemcpyHtoDAsync_v2(to: sys::CUdeviceptr, from: *const c_void, bytes: usize, stream: sys::CUstream);
    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: sys::CUdeviceptr, bytes: usize, stream: sys::CUstream);
    cuMemsetD8Async(address: sys::CUdeviceptr, value: c_uchar, count: usize, stream: sys::CUstream);
    cuModuleLoadDataEx(
        module: *mut sys::CUmodule,
        image: *const c_void,
        options: c_uint,
        keys: *mut sys::CUjit_option,
        values: *mut *mut c_void
    );
    cuModuleUnload(module: sys::CUmodule);
    cuModuleGetFunction(function: *mut sys::CUfunction, module: sys::CUmodule, name: *const c_char);
    cuFuncGetAttribute(value: *mut c_int, attribute: sys::CUfunction_attribute, function: sys::CUfunction);
    cuFuncSetAttribute(function: sys::CUfunction, attribute: sys::CUfunction_attribute, value: c_int);
    cuOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks: *mut c_int,
        function: sys::CUfunction,
        threads: c_int,
        shared_bytes: usize
    );
    cuLaunchKernelEx(
        config: *const sys::CUlaunchConfig,
        function: sys::CUfunction,
        arguments: *mut *mut c_void,
        extra: *mut *mut c_void
    );
}

impl Functions {
    fn check(&self, call: &'static str, code: c_int) -> Result<(), CudaError> {
        if code == SUCCESS { Ok(()) } else { Err(CudaError::from_code(call, code, self.error_name(code))) }
    }

    fn error_name(&self, code: c_int) -> String {
        let mut name: *const c_char = std::ptr::null();
        // SAFETY: the driver sets `name` to a string of its own, or to null where it does not know the code.
        let status = unsafe { (self.cuGetErrorName)(code, &mut name) };
        if status != SUCCESS || name.is_null() {
            return "an error unknown to the driver".into();
        }
        // SAFETY: the string lives as long as the library, which is never unloaded.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }
}
