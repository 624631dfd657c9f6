//! Launches of attention.

use super::{
    error::CudaError,
    kernel::{Kernel, Resources},
    module::ModuleCache,
    stream::Stream,
};
use crate::attention::launch::{AttentionBuffers, AttentionPlan};

/// A plan and its compiled kernel.
#[derive(Clone, Debug)]
pub struct AttentionKernel {
    plan: AttentionPlan,
    kernel: Kernel,
    /// The same, where it may overlap what is launched before.
    overlapping: Kernel,
}

impl AttentionKernel {
    /// Compiles the plan's variant, unless `modules` holds it already.
    ///
    /// # Errors
    /// As [`ModuleCache::attention`].
    pub fn new(modules: &ModuleCache, plan: AttentionPlan) -> Result<Self, CudaError> {
        let kernel = modules.attention(plan.variant())?.with_shared_bytes(plan.shared_bytes())?;
        let kernel = kernel.with_cluster(plan.splits().cluster());
        Ok(Self { plan, overlapping: kernel.with_overlap(true), kernel })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &AttentionPlan {
        &self.plan
    }

    /// What the kernel takes of a multiprocessor.
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.kernel.resources()
    }

    /// Launches on `stream`. Allocates nothing, does not wait, and can be captured into a graph.
    ///
    /// # Safety
    /// Until the launch has ended, the arrays of `buffers` exist in the stream's context with the shapes of
    /// [`Params`](dustin_kernels::attention::params::Params), nothing else writes them or touches output, log-sum-exp
    /// and workspace, the workspace has been initialised for this plan, and this kernel, a copy of it or its
    /// [`ModuleCache`] is kept: the last of them unloads the code. A launch that a graph has captured has ended when the
    /// graph is gone. (What is launched before may still write queries and own rows, as streams order it; where `buffers` are
    /// [stable](AttentionBuffers::stable), it leaves alone what that says.) What the arrays *contain* needs no promise: the device checks it, but for rows that two sequences
    /// have in common, whose results are not defined.
    ///
    /// # Errors
    /// As [`AttentionPlan::params`]; a stream of another context; what the driver returns.
    pub unsafe fn launch(&self, stream: &Stream, buffers: &AttentionBuffers) -> Result<(), CudaError> {
        let mut params = self.plan.params(buffers)?;
        let mut arguments = [std::ptr::from_mut(&mut params).cast()];
        let kernel = if self.plan.overlaps(buffers) { &self.overlapping } else { &self.kernel };
        // SAFETY: the kernel's one parameter is `Params` by value, which the driver copies before it returns; the rest
        // is the caller's promise.
        unsafe { kernel.launch(stream, self.plan.grid(), &mut arguments) }
    }
}
