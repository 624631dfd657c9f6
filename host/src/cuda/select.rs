//! Launches of selection.

use super::{error::CudaError, kernel::Kernel, module::ModuleCache, stream::Stream};
use crate::select::launch::{SelectBuffers, SelectPlan};

/// A plan and its compiled kernel.
#[derive(Clone, Debug)]
pub struct SelectKernel {
    plan: SelectPlan,
    kernel: Kernel,
}

impl SelectKernel {
    /// Compiles the plan's variant, unless `modules` holds it already.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache, plan: SelectPlan) -> Result<Self, CudaError> {
        let kernel = modules.select(plan.variant())?.with_cluster(plan.cluster());
        Ok(Self { plan, kernel })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &SelectPlan {
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
    /// [`Params`](dustin_kernels::select::params::Params), nothing else writes them or touches sets, sizes and workspace,
    /// the workspace has been initialised for this plan, and this kernel, a copy of it or its [`ModuleCache`] is kept: the
    /// last of them unloads the code. A launch that a graph has captured has ended when the graph is gone. What the arrays
    /// *contain* needs no promise: the device checks it.
    ///
    /// # Errors
    /// As [`SelectPlan::params`]; a stream of another context; what the driver returns.
    pub unsafe fn launch(&self, stream: &Stream, buffers: &SelectBuffers) -> Result<(), CudaError> {
        let mut params = self.plan.params(buffers)?;
        let mut arguments = [std::ptr::from_mut(&mut params).cast()];
        // SAFETY: the kernel's one parameter is `Params` by value, which the driver copies before it returns; the rest
        // is the caller's promise.
        unsafe { self.kernel.launch(stream, self.plan.grid(), &mut arguments) }
    }
}
