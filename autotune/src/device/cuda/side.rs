//! What a bench asks of a kernel: its inputs on the device, its launches, and the arrays that these write.

use dustin::{
    InvalidInput,
    cuda::{CudaError, ModuleCache, Plan, Stream, Workspace},
};

use crate::device::judge::Case;

/// Inputs of one problem of one kernel on the device.
pub(super) trait Side {
    /// Judges what is written.
    type Case: Case;
    /// What is written, on the device, bands included.
    type Output;
    /// A point of the kernel's space.
    type Candidate: Copy + Sync;
    /// The candidate's launch for this side's problem.
    type Plan: Plan;
    /// A plan and its compiled kernels.
    type Kernel;

    /// What judges the launch over the judged input.
    fn case(&self) -> &Self::Case;

    /// Plans a candidate's launch.
    ///
    /// # Errors
    /// The candidate cannot serve the problem.
    fn plan(&self, candidate: Self::Candidate) -> Result<Self::Plan, InvalidInput>;

    /// Compiles a plan's kernels, unless `modules` holds them already.
    ///
    /// # Errors
    /// What the driver returns.
    fn compile(modules: &ModuleCache, plan: Self::Plan) -> Result<Self::Kernel, CudaError>;

    /// Inputs that take turns.
    fn turns(&self) -> u32;

    /// Arrays on the device that hold what `written` does.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]; what the driver returns.
    fn upload(stream: &Stream, written: &WrittenOn<Self>) -> Result<Self::Output, CudaError>;

    /// Makes such arrays hold what `unwritten` does. Waits for the stream.
    ///
    /// # Errors
    /// What the driver returns.
    fn renew(
        stream: &Stream,
        output: &mut Self::Output,
        unwritten: &WrittenOn<Self>,
    ) -> Result<(), CudaError>;

    /// What such arrays hold. Waits for the stream.
    ///
    /// # Errors
    /// What the driver returns.
    fn download(stream: &Stream, output: &Self::Output) -> Result<WrittenOn<Self>, CudaError>;

    /// Launches a kernel over the input whose turn it is, or over the one that is judged.
    ///
    /// # Safety
    /// The kernel was compiled of a plan of this side; the workspace was initialised for it; the output was made of what the
    /// side's case gives; side, kernel, workspace and output outlive the launch, and nothing else uses workspace and output
    /// meanwhile.
    ///
    /// # Errors
    /// What the driver returns.
    unsafe fn launch(
        &self,
        stream: &Stream,
        kernel: &Self::Kernel,
        workspace: &Workspace,
        output: &Self::Output,
        turn: Option<u32>,
    ) -> Result<(), CudaError>;
}

/// What is written on a side.
pub(super) type WrittenOn<S> = <<S as Side>::Case as Case>::Written;
