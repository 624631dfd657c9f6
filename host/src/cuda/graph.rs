//! Captured graphs: launches recorded once and replayed with one call.

use std::fmt;

use cudarc::driver::sys;

use super::{context::Context, error::CudaError, stream::Stream};

/// An executable graph.
pub struct Graph {
    context: Context,
    executable: sys::CUgraphExec,
}

// SAFETY: the driver API's executable graphs may be used from any thread, one at a time: launching takes `&mut`.
unsafe impl Send for Graph {}

impl Graph {
    /// Captures what `record` submits to `stream`, which must not be the legacy default stream. Nothing runs yet.
    ///
    /// # Errors
    /// What `record` returns; what the driver returns, for a call that cannot be captured too.
    pub fn capture<E: From<CudaError>>(
        stream: &Stream,
        record: impl FnOnce() -> Result<(), E>,
    ) -> Result<Self, E> {
        let context = stream.context().clone();
        let capture = Capture::begin(stream)?;
        record()?;
        let graph = capture.end()?;
        let mut executable = std::ptr::null_mut();
        let instantiated = context.enter().and_then(|current| {
            // SAFETY: the graph exists; the driver writes one executable graph.
            unsafe { current.cuGraphInstantiateWithFlags(&mut executable, graph, 0) }
        });
        destroy(&context, graph);
        instantiated?;
        Ok(Self { context, executable })
    }

    /// Sends the graph to the device ahead of its first launch.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn upload(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both exist.
        unsafe { self.context.enter()?.cuGraphUpload(self.executable, stream.raw()) }
    }

    /// Replays the graph on `stream`. Does not wait.
    ///
    /// # Safety
    /// Everything that was captured still exists: kernels, arrays, and their contracts.
    ///
    /// # Errors
    /// What the driver returns.
    pub unsafe fn launch(&mut self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both exist; the rest is the caller's promise.
        unsafe { self.context.enter()?.cuGraphLaunch(self.executable, stream.raw()) }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("executable", &self.executable).finish()
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if let Ok(current) = self.context.enter() {
            // SAFETY: this value made it; the driver keeps it until its launches are done.
            let _ = unsafe { current.cuGraphExecDestroy(self.executable) };
        }
    }
}

/// A capture in progress, ended in any case: a stream left capturing would refuse all later work.
struct Capture<'a>(Option<&'a Stream>);

impl<'a> Capture<'a> {
    fn begin(stream: &'a Stream) -> Result<Self, CudaError> {
        // Other threads may go on using the context meanwhile.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream exists.
        unsafe { stream.context().enter()?.cuStreamBeginCapture_v2(stream.raw(), mode)? };
        Ok(Self(Some(stream)))
    }

    fn end(mut self) -> Result<sys::CUgraph, CudaError> {
        self.0.take().map_or(Ok(std::ptr::null_mut()), end_capture)
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.0
            && let Ok(graph) = end_capture(stream)
        {
            destroy(stream.context(), graph);
        }
    }
}

fn end_capture(stream: &Stream) -> Result<sys::CUgraph, CudaError> {
    let mut graph = std::ptr::null_mut();
    // SAFETY: the stream exists; the driver writes one graph.
    unsafe { stream.context().enter()?.cuStreamEndCapture(stream.raw(), &mut graph)? };
    Ok(graph)
}

fn destroy(context: &Context, graph: sys::CUgraph) {
    if let Ok(current) = context.enter() {
        // SAFETY: the graph was captured here and is not used again. A failure leaves nothing to be done.
        let _ = unsafe { current.cuGraphDestroy(graph) };
    }
}
