//! The guard: no function of the driver is called before the library is known to be there, new enough and complete.

use std::{error::Error, ffi::c_int, sync::OnceLock};

use libloading::Library;

use super::{
    error::{CudaError, CudaVersion},
    functions::{Functions, load},
};

/// The lowest driver that serves: CUDA 12.0 is the first that takes PTX 8.0, the newest of the kernels.
pub const REQUIRED_DRIVER: CudaVersion = CudaVersion(12_000);

#[cfg(windows)]
const NAMES: &[&str] = &["nvcuda.dll"];
// The versioned name comes first: the other one is often the toolkit's stub, which knows no device.
#[cfg(not(windows))]
const NAMES: &[&str] = &["libcuda.so.1", "libcuda.so"];

const NO_DEVICE: i32 = 100;

/// A driver that is initialised and has at least one device.
pub(super) struct Driver {
    pub(super) functions: Functions,
    pub(super) version: CudaVersion,
    pub(super) devices: u32,
    // Unloading it would leave the table dangling.
    _library: Library,
}

/// Whether there is a driver that serves, with a device.
///
/// # Errors
/// [`CudaError::LibraryMissing`], [`CudaError::DriverTooOld`], [`CudaError::SymbolMissing`],
/// [`CudaError::NoDevice`], or what the driver's initialisation returned. The answer is found once per process.
pub fn available() -> Result<(), CudaError> {
    driver().map(|_| ())
}

/// The driver, loaded once per process.
pub(super) fn driver() -> Result<&'static Driver, CudaError> {
    static DRIVER: OnceLock<Result<Driver, CudaError>> = OnceLock::new();
    DRIVER.get_or_init(open).as_ref().map_err(Clone::clone)
}

fn open() -> Result<Driver, CudaError> {
    let library = find()?;
    // The version is asked before the other functions are looked up: of an old driver it is the better message.
    let version = version(&library)?;
    if version < REQUIRED_DRIVER {
        return Err(CudaError::DriverTooOld { required: REQUIRED_DRIVER, actual: version });
    }
    // SAFETY: the library has answered as a CUDA driver.
    let functions = unsafe { Functions::load(&library)? };
    // SAFETY: initialising has no precondition.
    unsafe { functions.cuInit(0) }
        .map_err(|error| if error.has_code(NO_DEVICE) { CudaError::NoDevice } else { error })?;
    let mut devices = 0;
    // SAFETY: the driver is initialised, and writes one integer.
    unsafe { functions.cuDeviceGetCount(&mut devices)? };
    match u32::try_from(devices) {
        Ok(devices) if devices > 0 => Ok(Driver { functions, version, devices, _library: library }),
        _ => Err(CudaError::NoDevice),
    }
}

fn find() -> Result<Library, CudaError> {
    let mut reason = None;
    for name in NAMES {
        // SAFETY: loading runs the initialisers of the library that the system has under the driver's name.
        match unsafe { Library::new(*name) } {
            Ok(library) => return Ok(library),
            Err(error) => reason = reason.or(Some(innermost(&error))),
        }
    }
    Err(CudaError::LibraryMissing { names: NAMES.join(" or "), reason: reason.unwrap_or_default() })
}

/// The loader's own words, which libloading keeps in the source of its error.
fn innermost(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

fn version(library: &Library) -> Result<CudaVersion, CudaError> {
    // SAFETY: the driver API's signature.
    let get: unsafe extern "C" fn(*mut c_int) -> c_int = unsafe { load(library, "cuDriverGetVersion")? };
    let mut version = 0;
    // SAFETY: the function may be called before the driver is initialised, and writes one integer.
    match unsafe { get(&mut version) } {
        0 => Ok(CudaVersion(version)),
        code => Err(CudaError::from_code("cuDriverGetVersion", code, "no version".into())),
    }
}
