//! Launches of appending, of compacting and of capturing.

use super::{error::CudaError, kernel::Kernel, module::ModuleCache, stream::Stream};
use crate::cache::{
    append::launch::{AppendBuffers, AppendPlan},
    capture::launch::{CaptureBuffers, CapturePlan},
    compact::launch::{CompactBuffers, CompactPlan},
};

/// A plan of appending and its compiled kernel.
#[derive(Clone, Debug)]
pub struct AppendKernel {
    plan: AppendPlan,
    kernel: Kernel,
    /// The same, launched where it may overlap what comes before.
    overlapping: Kernel,
}

impl AppendKernel {
    /// Compiles the plan's variant, unless `modules` holds it already.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache, plan: AppendPlan) -> Result<Self, CudaError> {
        let kernel = modules.append(plan.variant())?;
        Ok(Self { plan, overlapping: kernel.with_overlap(true), kernel })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &AppendPlan {
        &self.plan
    }

    /// The kernel that is launched.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Launches on `stream`. Allocates nothing, does not wait, and can be captured into a graph.
    ///
    /// # Safety
    /// Until the launch has ended, the arrays of `buffers` exist in the stream's context with the shapes of
    /// [`AppendParams`](dustin_kernels::cache::params::AppendParams), nothing else writes them or touches the places of the
    /// step's rows and the workspace, no two rows have the same place, the workspace has been initialised for this plan, and
    /// this kernel, a copy of it or its [`ModuleCache`] is kept: the last of them unloads the code. A launch that a graph has
    /// captured has ended when the graph is gone. (What is launched before may still write the rows and read the copied queries,
    /// as streams order it; where `buffers` are [stable](AppendBuffers::stable), it leaves alone what that says.) Else what the
    /// arrays *contain* needs no promise: the device checks it.
    ///
    /// # Errors
    /// As [`AppendPlan::params`]; a stream of another context; what the driver returns.
    pub unsafe fn launch(&self, stream: &Stream, buffers: &AppendBuffers) -> Result<(), CudaError> {
        let mut params = self.plan.params(buffers)?;
        let mut arguments = [std::ptr::from_mut(&mut params).cast()];
        let kernel = if self.plan.overlaps(buffers) { &self.overlapping } else { &self.kernel };
        // SAFETY: the kernel's one parameter is `AppendParams` by value, which the driver copies before it returns; the rest
        // is the caller's promise.
        unsafe { kernel.launch(stream, self.plan.grid(), &mut arguments) }
    }
}

/// A plan of compacting and its compiled kernel.
#[derive(Clone, Debug)]
pub struct CompactKernel {
    plan: CompactPlan,
    kernel: Kernel,
}

impl CompactKernel {
    /// Compiles the plan's variant, unless `modules` holds it already.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache, plan: CompactPlan) -> Result<Self, CudaError> {
        let kernel = modules.compact(plan.variant())?;
        Ok(Self { plan, kernel })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &CompactPlan {
        &self.plan
    }

    /// The kernel that is launched.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Launches on `stream`. Allocates nothing, does not wait, and can be captured into a graph.
    ///
    /// # Safety
    /// Until the launch has ended, the arrays of `buffers` exist in the stream's context with the shapes of
    /// [`CompactParams`](dustin_kernels::cache::params::CompactParams), and so do the caches whose addresses they hold, of which
    /// no two overlap; nothing else writes the arrays or touches the places of the step's rows and the workspace, no two rows
    /// have the same place, the workspace has been initialised for this plan, and this kernel, a copy of it or its
    /// [`ModuleCache`] is kept: the last of them unloads the code. A launch that a graph has captured has ended when the graph
    /// is gone. Else what the arrays *contain* needs no promise: the device checks it.
    ///
    /// # Errors
    /// As [`CompactPlan::params`]; a stream of another context; what the driver returns.
    pub unsafe fn launch(&self, stream: &Stream, buffers: &CompactBuffers) -> Result<(), CudaError> {
        let mut params = self.plan.params(buffers)?;
        let mut arguments = [std::ptr::from_mut(&mut params).cast()];
        // SAFETY: the kernel's one parameter is `CompactParams` by value, which the driver copies before it returns; the rest
        // is the caller's promise.
        unsafe { self.kernel.launch(stream, self.plan.grid(), &mut arguments) }
    }
}

/// A plan of capturing and its compiled kernel.
#[derive(Clone, Debug)]
pub struct CaptureKernel {
    plan: CapturePlan,
    kernel: Kernel,
}

impl CaptureKernel {
    /// Compiles the plan's variant, unless `modules` holds it already.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache, plan: CapturePlan) -> Result<Self, CudaError> {
        let kernel = modules.capture(plan.variant())?;
        Ok(Self { plan, kernel })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &CapturePlan {
        &self.plan
    }

    /// Launches on `stream`. Allocates nothing, does not wait, and can be captured into a graph.
    ///
    /// # Safety
    /// Until the launch has ended, the arrays of `buffers` exist in the stream's context with the shapes of
    /// [`CaptureParams`](dustin_kernels::cache::params::CaptureParams), nothing else writes them or touches the slots that are
    /// named and the workspace, no two sequences have the same slot, the workspace has been initialised for this plan, and this
    /// kernel, a copy of it or its [`ModuleCache`] is kept: the last of them unloads the code. A launch that a graph has captured
    /// has ended when the graph is gone. Else what the arrays *contain* needs no promise: the device checks it.
    ///
    /// # Errors
    /// As [`CapturePlan::params`]; a stream of another context; what the driver returns.
    pub unsafe fn launch(&self, stream: &Stream, buffers: &CaptureBuffers) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.launch_of_rows(stream, buffers, self.plan.problem().total_rows) }
    }

    /// The same for a batch of `total_rows` rows in the place of the problem's.
    ///
    /// # Safety
    /// As [`launch`](Self::launch).
    ///
    /// # Errors
    /// As [`CapturePlan::params_of_rows`]; a stream of another context; what the driver returns.
    pub unsafe fn launch_of_rows(
        &self,
        stream: &Stream,
        buffers: &CaptureBuffers,
        total_rows: u32,
    ) -> Result<(), CudaError> {
        let mut params = self.plan.params_of_rows(buffers, total_rows)?;
        let mut arguments = [std::ptr::from_mut(&mut params).cast()];
        // SAFETY: the kernel's one parameter is `CaptureParams` by value, which the driver copies before it returns; the rest
        // is the caller's promise.
        unsafe { self.kernel.launch(stream, self.plan.grid(), &mut arguments) }
    }
}
