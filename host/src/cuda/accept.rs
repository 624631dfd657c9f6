//! Launches of acceptance.

use super::{error::CudaError, kernel::Kernel, module::ModuleCache, stream::Stream};
use crate::accept::launch::{AcceptBuffers, AcceptPlan};

/// A plan and its compiled kernels.
#[derive(Clone, Debug)]
pub struct AcceptKernel {
    plan: AcceptPlan,
    rows: Kernel,
    walk: Kernel,
}

impl AcceptKernel {
    /// Compiles the plan's variants, unless `modules` holds them already.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache, plan: AcceptPlan) -> Result<Self, CudaError> {
        let rows = modules.accept_rows(plan.rows())?;
        let walk = modules.accept_walk(plan.walk())?.with_cluster(plan.walk().cluster);
        Ok(Self { plan, rows, walk })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &AcceptPlan {
        &self.plan
    }

    /// The kernel that is launched first.
    #[must_use]
    pub fn rows(&self) -> &Kernel {
        &self.rows
    }

    /// The kernel that is launched behind it.
    #[must_use]
    pub fn walk(&self) -> &Kernel {
        &self.walk
    }

    /// Launches both kernels on `stream`. Allocates nothing, does not wait, and can be captured into a graph, each replay of which
    /// is a step of its own.
    ///
    /// # Safety
    /// Until the launches have ended, the arrays of `buffers` exist in the stream's context with the shapes of
    /// [`Params`](dustin_kernels::accept::params::Params), nothing else writes them or touches the step's counter, the outputs and the
    /// workspace, the workspace has been initialised for this plan, and this kernel, a copy of it or its [`ModuleCache`] is kept:
    /// the last of them unloads the code. Launches that a graph has captured have ended when the graph is gone. What the arrays
    /// *contain* needs no promise: the device checks it.
    ///
    /// # Errors
    /// As [`AcceptPlan::params`]; a stream of another context; what the driver returns.
    pub unsafe fn launch(&self, stream: &Stream, buffers: &AcceptBuffers) -> Result<(), CudaError> {
        let mut params = self.plan.params(buffers)?;
        let mut arguments = [std::ptr::from_mut(&mut params).cast()];
        // SAFETY: each kernel's one parameter is `Params` by value, which the driver copies before it returns; the rest is the
        // caller's promise.
        unsafe {
            self.rows.launch(stream, self.plan.rows_grid(), &mut arguments)?;
            self.walk.launch(stream, self.plan.walk_grid(), &mut arguments)
        }
    }
}
