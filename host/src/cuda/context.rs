//! Contexts: a device's own (primary) one, or a caller's.

use std::{ffi::c_void, fmt, marker::PhantomData, sync::Arc};

use cudarc::driver::sys;

use super::{
    error::CudaError,
    functions::Functions,
    library::{Driver, driver},
};
use crate::error::InvalidInput;

/// Devices that the driver knows.
///
/// # Errors
/// As [`super::available`].
pub fn device_count() -> Result<u32, CudaError> {
    Ok(driver()?.devices)
}

/// The device `ordinal`, and the driver that knows it.
pub(super) fn device(ordinal: u32) -> Result<(&'static Driver, sys::CUdevice), CudaError> {
    let driver = driver()?;
    if ordinal >= driver.devices {
        let required = format!("below the number of devices, {}", driver.devices);
        return Err(InvalidInput::new("CUDA device", "ordinal", required, ordinal).into());
    }
    let mut device = 0;
    // SAFETY: the ordinal is below the count; the driver writes one device.
    unsafe { driver.functions.cuDeviceGet(&mut device, ordinal as i32)? };
    Ok((driver, device))
}

/// A context on one device. Cheap to clone, and usable from every thread: each operation makes it current for its
/// own duration only, so that the caller's current context is never changed.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    driver: &'static Driver,
    raw: sys::CUcontext,
    device: sys::CUdevice,
    owned: bool,
}

// SAFETY: the driver API's contexts may be used from any thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Context {
    /// The primary context of device `ordinal`, the one that the CUDA runtime uses too.
    ///
    /// # Errors
    /// As [`super::available`]; an ordinal at or beyond [`device_count`]; what the driver returns.
    pub fn new(ordinal: u32) -> Result<Self, CudaError> {
        let (driver, device) = device(ordinal)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the device exists; the driver writes one context.
        unsafe { driver.functions.cuDevicePrimaryCtxRetain(&mut raw, device)? };
        Ok(Self(Arc::new(Inner { driver, raw, device, owned: true })))
    }

    /// A caller's `CUcontext`, of whichever binding.
    ///
    /// # Safety
    /// The context exists until the last clone of the result, and all that was made of it, is dropped.
    ///
    /// # Errors
    /// As [`super::available`]; a null context; what the driver returns.
    pub unsafe fn borrow(raw: *mut c_void) -> Result<Self, CudaError> {
        let driver = driver()?;
        if raw.is_null() {
            return Err(InvalidInput::new("CUDA context", "raw", "a CUcontext", "null").into());
        }
        let mut inner = Inner { driver, raw: raw.cast(), device: 0, owned: false };
        let mut device = 0;
        let current = Current::push(&inner)?;
        // SAFETY: a context is current; the driver writes one device.
        unsafe { driver.functions.cuCtxGetDevice(&mut device)? };
        drop(current);
        inner.device = device;
        Ok(Self(Arc::new(inner)))
    }

    /// The raw `CUcontext`.
    #[must_use]
    pub fn as_raw(&self) -> *mut c_void {
        self.0.raw.cast()
    }

    /// Bytes of device memory that are free at the moment.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn free_memory(&self) -> Result<usize, CudaError> {
        self.memory().map(|(free, _)| free)
    }

    /// Bytes of device memory that are in use at the moment, by whomever: contexts and what the driver keeps included.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn used_memory(&self) -> Result<usize, CudaError> {
        self.memory().map(|(free, total)| total.saturating_sub(free))
    }

    /// Bytes of device memory: free ones, and all.
    fn memory(&self) -> Result<(usize, usize), CudaError> {
        let (mut free, mut total) = (0, 0);
        let current = self.enter()?;
        // SAFETY: a context is current; the driver writes two integers.
        unsafe { current.cuMemGetInfo_v2(&mut free, &mut total)? };
        Ok((free, total))
    }

    /// Makes the context current on this thread until the guard is dropped. The guard gives the driver's functions.
    pub(super) fn enter(&self) -> Result<Current<'_>, CudaError> {
        Current::push(&self.0)
    }

    pub(super) fn driver(&self) -> &'static Driver {
        self.0.driver
    }

    pub(super) fn device(&self) -> sys::CUdevice {
        self.0.device
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("raw", &self.0.raw).field("device", &self.0.device).finish()
    }
}

impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        self.0.raw == other.0.raw
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: it was retained once, and everything made of it holds the context, so it is not used again.
            // A failure cannot be reported from here, and leaves nothing to be done.
            let _ = unsafe { self.driver.functions.cuDevicePrimaryCtxRelease_v2(self.device) };
        }
    }
}

/// Proof that a context is current on this thread.
pub(super) struct Current<'a> {
    functions: &'static Functions,
    // Current contexts are a stack per thread: the guard must be dropped on the thread that made it.
    context: PhantomData<(&'a Inner, *const ())>,
}

impl<'a> Current<'a> {
    fn push(inner: &'a Inner) -> Result<Self, CudaError> {
        let functions = &inner.driver.functions;
        // SAFETY: the context exists as long as `inner`.
        unsafe { functions.cuCtxPushCurrent_v2(inner.raw)? };
        Ok(Self { functions, context: PhantomData })
    }
}

impl std::ops::Deref for Current<'_> {
    type Target = Functions;

    fn deref(&self) -> &Functions {
        self.functions
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        let mut popped = std::ptr::null_mut();
        // SAFETY: this thread pushed a context, and every later push has been popped.
        let _ = unsafe { self.functions.cuCtxPopCurrent_v2(&mut popped) };
    }
}
