//! Selection on the GPU.

use dustin::{
    cuda::{
        CudaError, DeviceBuffer, DeviceSelectInput, DeviceSelectOutput, Graph, ModuleCache, SelectKernel,
        Stream, Workspace,
    },
    select::{
        compare::{Selected, UNWRITTEN},
        launch::{SelectBuffers, SelectPlan},
        space::Candidate,
        synthetic::SelectInput,
    },
};

use crate::gpu::text;

/// An input in device memory, ready to be launched.
#[derive(Debug)]
pub struct Prepared {
    kernel: SelectKernel,
    /// The arrays that launches read.
    pub input: DeviceSelectInput,
    output: DeviceSelectOutput,
    memory: DeviceBuffer<u8>,
    /// The workspace, in memory that held poison.
    pub workspace: Workspace,
}

impl Prepared {
    /// Puts `input` into device memory, with outputs that nobody has written and a poisoned workspace.
    ///
    /// # Errors
    /// The launch is not possible, or what the driver returns.
    pub fn new(
        modules: &ModuleCache,
        stream: &Stream,
        input: &SelectInput,
        candidate: Candidate,
    ) -> Result<Self, String> {
        let plan = SelectPlan::new(&input.problem, candidate.variant, candidate.cluster).map_err(text)?;
        Self::of(modules, stream, input, plan).map_err(text)
    }

    fn of(
        modules: &ModuleCache,
        stream: &Stream,
        input: &SelectInput,
        plan: SelectPlan,
    ) -> Result<Self, CudaError> {
        let mut memory = DeviceBuffer::allocate(stream.context(), plan.workspace_bytes() as usize)?;
        memory.fill(stream, 0xff)?;
        // SAFETY: the result keeps the memory, and touches it only to look at it between launches.
        let workspace = unsafe { Workspace::borrow(&plan, memory.address(), plan.workspace_bytes())? };
        workspace.initialise(stream)?;
        let mut prepared = Self {
            kernel: SelectKernel::new(modules, plan)?,
            input: DeviceSelectInput::upload(stream, &input.problem, &input.arrays())?,
            output: DeviceSelectOutput::allocate(stream, &input.problem, &input.strides)?,
            memory,
            workspace,
        };
        prepared.renew_output(stream)?;
        Ok(prepared)
    }

    /// The addresses of a launch.
    #[must_use]
    pub fn buffers(&self) -> SelectBuffers {
        self.input.buffers(&self.output, &self.workspace)
    }

    /// Launches the kernel and does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch(&self, stream: &Stream) -> Result<(), CudaError> {
        self.launch_with(stream, &self.buffers())
    }

    /// Launches the kernel over other arrays of the same shapes.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch_with(&self, stream: &Stream, buffers: &SelectBuffers) -> Result<(), CudaError> {
        // SAFETY: a test's arrays have the shapes of its problem, and it looks at the results, or drops the arrays,
        // behind a wait.
        unsafe { self.kernel.launch(stream, buffers) }
    }

    /// A graph of one launch.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn capture(&self, stream: &Stream) -> Result<Graph, CudaError> {
        Graph::capture(stream, || self.launch(stream))
    }

    /// Makes the output one that nobody has written.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn renew_output(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let DeviceSelectOutput { set, physical, set_sizes } = &mut self.output;
        for array in [set, set_sizes].into_iter().chain(physical) {
            array.upload(stream, 0, &vec![UNWRITTEN; array.len()])?;
        }
        Ok(())
    }

    /// What the launches so far have written.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn selected(&self, stream: &Stream) -> Result<Selected, String> {
        let download = |array: &DeviceBuffer<i32>| array.download(stream).map_err(text);
        let mut word = [0; 8];
        word.copy_from_slice(&self.memory.download_range(stream, 0, 8).map_err(text)?);
        Ok(Selected {
            set: download(&self.output.set)?,
            physical: self.output.physical.as_ref().map(download).transpose()?,
            set_sizes: download(&self.output.set_sizes)?,
            status: u64::from_le_bytes(word),
        })
    }

    /// One launch and what it has written.
    ///
    /// # Errors
    /// As [`Prepared::launch`] and [`Prepared::selected`].
    pub fn select(&self, stream: &Stream) -> Result<Selected, String> {
        self.launch(stream).map_err(text)?;
        self.selected(stream)
    }
}
