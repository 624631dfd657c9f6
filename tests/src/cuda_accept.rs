//! Acceptance on the GPU.

use dustin::{
    accept::{
        compare::{Accepted, UNWRITTEN, compare},
        launch::AcceptPlan,
        synthetic::AcceptInput,
    },
    cuda::{
        AcceptKernel, CudaError, DeviceAcceptInput, DeviceAcceptOutput, DeviceBuffer, Graph, ModuleCache,
        Stream, Workspace,
    },
};
use dustin_kernels::registry::{AcceptRowsVariant, AcceptWalkVariant};

use crate::gpu::{Gpu, text};

/// An input in device memory, ready to be launched.
#[derive(Debug)]
pub struct PreparedAccept {
    kernel: AcceptKernel,
    /// The arrays that launches read.
    pub input: DeviceAcceptInput,
    output: DeviceAcceptOutput,
    memory: DeviceBuffer<u8>,
    /// The workspace, in memory that held poison.
    pub workspace: Workspace,
}

impl PreparedAccept {
    /// Puts `input` into device memory.
    ///
    /// # Errors
    /// The launches are not possible, or what the driver returns.
    pub fn new(
        modules: &ModuleCache,
        stream: &Stream,
        input: &AcceptInput,
        rows: &'static AcceptRowsVariant,
        walk: &'static AcceptWalkVariant,
    ) -> Result<Self, String> {
        let plan = AcceptPlan::new(&input.problem, rows, walk).map_err(text)?;
        Self::of(modules, stream, input, plan).map_err(text)
    }

    fn of(
        modules: &ModuleCache,
        stream: &Stream,
        input: &AcceptInput,
        plan: AcceptPlan,
    ) -> Result<Self, CudaError> {
        let mut memory = DeviceBuffer::allocate(stream.context(), plan.workspace_bytes() as usize)?;
        memory.fill(stream, 0xff)?;
        // SAFETY: the result keeps the memory, and touches it only to look at it between launches.
        let workspace = unsafe { Workspace::borrow(&plan, memory.address(), plan.workspace_bytes())? };
        workspace.initialise(stream)?;
        Ok(Self {
            input: DeviceAcceptInput::upload(stream, &input.problem, &input.arrays())?,
            output: unwritten(stream, input)?,
            kernel: AcceptKernel::new(modules, plan)?,
            memory,
            workspace,
        })
    }

    /// Launches both kernels and does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch(&self, stream: &Stream) -> Result<(), CudaError> {
        let buffers = self.input.buffers(&self.output, &self.workspace);
        // SAFETY: a test's arrays have the shapes of its problem, and it looks at the results, or drops the arrays, behind a
        // wait.
        unsafe { self.kernel.launch(stream, &buffers) }
    }

    /// A graph of both launches.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn capture(&self, stream: &Stream) -> Result<Graph, CudaError> {
        Graph::capture(stream, || self.launch(stream))
    }

    /// What the launches so far have given.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn accepted(&self, stream: &Stream) -> Result<Accepted, String> {
        let items = |array: &DeviceBuffer<i32>| array.download(stream).map_err(text);
        let Self { output, .. } = self;
        let mut word = [0; 8];
        word.copy_from_slice(&self.memory.download_range(stream, 0, 8).map_err(text)?);
        Ok(Accepted {
            accepted: items(&output.accepted)?,
            emitted: items(&output.emitted)?,
            path: items(&output.path)?,
            last_rows: items(&output.last_rows)?,
            new_lengths: output.new_lengths.as_ref().map(items).transpose()?,
            step: self.input.step.download(stream).map_err(text)?[0],
            status: u64::from_le_bytes(word),
        })
    }

    /// One launch of both kernels and what it has given.
    ///
    /// # Errors
    /// As [`PreparedAccept::launch`] and [`PreparedAccept::accepted`].
    pub fn accept(&self, stream: &Stream) -> Result<Accepted, String> {
        self.launch(stream).map_err(text)?;
        self.accepted(stream)
    }
}

/// Outputs that hold what [`compare`] takes for unwritten.
fn unwritten(stream: &Stream, input: &AcceptInput) -> Result<DeviceAcceptOutput, CudaError> {
    let mut output = DeviceAcceptOutput::allocate(stream, &input.problem, &input.strides)?;
    let DeviceAcceptOutput { accepted, emitted, path, last_rows, new_lengths } = &mut output;
    for array in [accepted, emitted, path, last_rows].into_iter().chain(new_lengths) {
        array.upload(stream, 0, &vec![UNWRITTEN; array.len()])?;
    }
    Ok(output)
}

/// Judges what both launches give, the walk by `walk`.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn judge(
    gpu: &Gpu,
    stream: &Stream,
    input: &AcceptInput,
    rows: &'static AcceptRowsVariant,
    walk: &'static AcceptWalkVariant,
) -> Result<Accepted, String> {
    let given = PreparedAccept::new(&gpu.modules, stream, input, rows, walk)?.accept(stream)?;
    compare(&input.problem, &input.arrays(), &given)
        .map_err(|error| format!("{}: {error}\n{:#?}", walk.id, input.problem))?;
    Ok(given)
}
