//! Launches of score gathering.

use super::{error::CudaError, kernel::Kernel, module::ModuleCache, stream::Stream};
use crate::score::launch::{ScoreBuffers, ScorePlan};

/// A plan and its compiled kernels.
#[derive(Clone, Debug)]
pub struct ScoreKernel {
    plan: ScorePlan,
    /// The kernel of `logits`, with the shared memory that each source needs.
    logits: Vec<Kernel>,
    fold: Kernel,
}

impl ScoreKernel {
    /// Compiles the plan's two variants, unless `modules` holds them already.
    ///
    /// # Errors
    /// As [`ModuleCache::kernel`].
    pub fn new(modules: &ModuleCache, plan: ScorePlan) -> Result<Self, CudaError> {
        let (logits, fold) = (modules.logits(plan.logits())?, modules.fold(plan.fold())?);
        let sources = 0..plan.problem().sources.len();
        let logits = sources.map(|source| {
            logits.with_overlap(plan.overlaps(source)).with_shared_bytes(plan.shared_bytes(source))
        });
        Ok(Self {
            logits: logits.collect::<Result<_, _>>()?,
            fold: fold.with_overlap(plan.fold().overlaps).with_shared_bytes(plan.fold_shared_bytes())?,
            plan,
        })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &ScorePlan {
        &self.plan
    }

    /// The kernels, in the order of their launches.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.logits.iter().chain([&self.fold])
    }

    /// Launches the whole job on `stream`: `logits` for each source, then `fold`. Allocates nothing, does not wait, and can
    /// be captured into a graph.
    ///
    /// # Safety
    /// Until the last launch has ended, the arrays of `buffers` exist in the stream's context with the shapes of
    /// [`Params`](dustin_kernels::score::params::Params), the tables of heads and weights are those of the problem,
    /// nothing else writes any of them or touches map and workspace, the workspace has been initialised for this plan, and
    /// this kernel, a copy of it or its [`ModuleCache`] is kept: the last of them unloads the code. A launch that a graph has
    /// captured has ended when the graph is gone. What the other arrays *contain* needs no promise: the device checks
    /// it, but for parts of the map that overlap: of the sequences that they belong to the whole result is undefined (inside
    /// the map and the workspace all the same), and a fault is reported for one between them.
    ///
    /// # Errors
    /// As [`ScorePlan::params`]; a stream of another context; what the driver returns.
    pub unsafe fn launch(&self, stream: &Stream, buffers: &ScoreBuffers<'_>) -> Result<(), CudaError> {
        for (source, logits) in self.logits.iter().enumerate() {
            let mut params = self.plan.params(source, buffers)?;
            let mut arguments = [std::ptr::from_mut(&mut params).cast()];
            // SAFETY: the kernel's one parameter is `Params` by value, which the driver copies before it returns; the
            // rest is the caller's promise.
            unsafe { logits.launch(stream, self.plan.grid(), &mut arguments)? };
        }
        let mut params = self.plan.fold_params(buffers)?;
        let mut arguments = [std::ptr::from_mut(&mut params).cast()];
        // SAFETY: as above, with `FoldParams`.
        unsafe { self.fold.launch(stream, self.plan.fold_grid(), &mut arguments) }
    }
}
