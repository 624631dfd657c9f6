//! Streams, own or a caller's.

use std::{ffi::c_void, fmt};

use cudarc::driver::sys;

use super::{context::Context, error::CudaError};

const NOT_READY: i32 = 600;

/// A stream of a context. Work submitted to it runs in order.
pub struct Stream {
    context: Context,
    raw: sys::CUstream,
    owned: bool,
}

// SAFETY: the driver API's streams may be used from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// A new stream that does not wait for the legacy default stream.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn new(context: &Context) -> Result<Self, CudaError> {
        let mut raw = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: a context is current; the driver writes one stream.
        unsafe { context.enter()?.cuStreamCreate(&mut raw, flags)? };
        Ok(Self { context: context.clone(), raw, owned: true })
    }

    /// A caller's `CUstream`, of whichever binding. Null is the legacy default stream.
    ///
    /// # Safety
    /// The stream belongs to `context` and exists as long as the result.
    #[must_use]
    pub unsafe fn borrow(context: &Context, raw: *mut c_void) -> Self {
        Self { context: context.clone(), raw: raw.cast(), owned: false }
    }

    /// Waits until all work submitted so far is done.
    ///
    /// # Errors
    /// What the driver returns, an earlier launch's fault included.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the stream exists.
        unsafe { self.context.enter()?.cuStreamSynchronize(self.raw) }
    }

    /// Whether all work submitted so far is done. Does not wait.
    ///
    /// # Errors
    /// As [`Stream::synchronize`].
    pub fn is_idle(&self) -> Result<bool, CudaError> {
        // SAFETY: the stream exists.
        match unsafe { self.context.enter()?.cuStreamQuery(self.raw) } {
            Ok(()) => Ok(true),
            Err(error) if error.has_code(NOT_READY) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The stream's context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The raw `CUstream`.
    #[must_use]
    pub fn as_raw(&self) -> *mut c_void {
        self.raw.cast()
    }

    pub(super) fn raw(&self) -> sys::CUstream {
        self.raw
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("raw", &self.raw).field("context", &self.context).finish()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.owned
            && let Ok(current) = self.context.enter()
        {
            // SAFETY: this value made the stream; the driver lets its pending work finish.
            let _ = unsafe { current.cuStreamDestroy_v2(self.raw) };
        }
    }
}
