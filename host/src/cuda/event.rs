//! Events: points in a stream, with the device's time at them.

use std::fmt;

use cudarc::driver::sys;

use super::{context::Context, error::CudaError, stream::Stream};

/// An event, which may take the device's time.
pub struct Event {
    context: Context,
    raw: sys::CUevent,
}

// SAFETY: the driver API's events may be used from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event that takes the time and has not been recorded.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn new(context: &Context) -> Result<Self, CudaError> {
        Self::with_flags(context, sys::CUevent_flags::CU_EVENT_DEFAULT)
    }

    /// An event for streams to wait for, which takes no time and has not been recorded.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn untimed(context: &Context) -> Result<Self, CudaError> {
        Self::with_flags(context, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
    }

    fn with_flags(context: &Context, flags: sys::CUevent_flags) -> Result<Self, CudaError> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: a context is current; the driver writes one event.
        unsafe { context.enter()?.cuEventCreate(&mut raw, flags as u32)? };
        Ok(Self { context: context.clone(), raw })
    }

    /// Records the event behind the work submitted to `stream` so far.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both exist.
        unsafe { self.context.enter()?.cuEventRecord(self.raw, stream.raw()) }
    }

    /// Waits until the device has reached the event.
    ///
    /// # Errors
    /// What the driver returns, an earlier launch's fault included.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the event exists.
        unsafe { self.context.enter()?.cuEventSynchronize(self.raw) }
    }

    /// Lets what is submitted to `stream` from now on wait for what the event was recorded behind last. The host does not wait.
    /// Inside a capture this makes `stream` part of it, until the captured stream waits for it in turn.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn hold_back(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both exist.
        unsafe { self.context.enter()?.cuStreamWaitEvent(stream.raw(), self.raw, 0) }
    }

    /// Microseconds on the device from `start` to this event, both timed, recorded and reached.
    ///
    /// # Errors
    /// What the driver returns, for events not yet reached too.
    pub fn microseconds_since(&self, start: &Event) -> Result<f64, CudaError> {
        let mut milliseconds = 0.0;
        // SAFETY: both events exist; the driver writes one number.
        unsafe { self.context.enter()?.cuEventElapsedTime(&mut milliseconds, start.raw, self.raw)? };
        Ok(f64::from(milliseconds) * 1e3)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("raw", &self.raw).finish()
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Ok(current) = self.context.enter() {
            // SAFETY: this value made the event.
            let _ = unsafe { current.cuEventDestroy_v2(self.raw) };
        }
    }
}
