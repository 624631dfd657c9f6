//! The GPU as a back end.

use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        launch::{AttentionBuffers, AttentionPlan},
        space::Candidate,
        synthetic::{AttentionInput, NAN},
    },
    cuda::{
        AttentionKernel, CudaError, DeviceBuffer, DeviceInput, DeviceItems, DeviceOutput, ModuleCache,
        Stream, Workspace,
    },
};

use crate::{
    gpu::text,
    verdict::{Attended, Items, POISON},
};

/// What of a launch is not in its input.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Variant and splits.
    pub candidate: Candidate,
    /// Item type of the output.
    pub output_type: OutputType,
    /// Base of the log-sum-exp.
    pub lse_base: LogBase,
}

/// An input in device memory, ready to be launched.
#[derive(Debug)]
pub struct Prepared {
    kernel: AttentionKernel,
    /// The arrays that launches read.
    pub input: DeviceInput,
    output: DeviceOutput,
    memory: DeviceBuffer<u8>,
    /// The workspace, in memory that held poison.
    pub workspace: Workspace,
}

impl Prepared {
    /// Puts `input` into device memory, with a poisoned output and workspace.
    ///
    /// # Errors
    /// The launch is not possible, or what the driver returns.
    pub fn new(
        modules: &ModuleCache,
        stream: &Stream,
        input: &AttentionInput,
        asked: Asked,
    ) -> Result<Self, String> {
        let Candidate { variant, splits } = asked.candidate;
        let plan = AttentionPlan::new(&input.problem, variant, splits).map_err(text)?;
        Self::of(modules, stream, input, asked, plan).map_err(text)
    }

    fn of(
        modules: &ModuleCache,
        stream: &Stream,
        input: &AttentionInput,
        asked: Asked,
        plan: AttentionPlan,
    ) -> Result<Self, CudaError> {
        let mut memory = DeviceBuffer::allocate(stream.context(), plan.workspace_bytes() as usize)?;
        memory.fill(stream, 0xff)?;
        // SAFETY: the result keeps the memory, and touches it only to look at it between launches.
        let workspace = unsafe { Workspace::borrow(&plan, memory.address(), plan.workspace_bytes())? };
        workspace.initialise(stream)?;
        let (len, columns) = (input.output_items(), input.lse_items());
        let items = match asked.output_type {
            OutputType::Rounded => DeviceItems::Rounded(DeviceBuffer::of(stream, &vec![NAN; len])?),
            OutputType::F32 => DeviceItems::F32(DeviceBuffer::of(stream, &vec![POISON; len])?),
        };
        let lse = input.problem.lse.then(|| DeviceBuffer::of(stream, &vec![POISON; columns])).transpose()?;
        let output = DeviceOutput { items, lse, lse_base: asked.lse_base };
        let input = DeviceInput::upload(stream, &input.problem, &input.arrays())?;
        Ok(Self { kernel: AttentionKernel::new(modules, plan)?, input, output, memory, workspace })
    }

    /// The addresses of a launch.
    #[must_use]
    pub fn buffers(&self) -> AttentionBuffers {
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
    pub fn launch_with(&self, stream: &Stream, buffers: &AttentionBuffers) -> Result<(), CudaError> {
        // SAFETY: a test's arrays have the shapes of its problem, and it looks at the results, or drops the arrays,
        // behind a wait.
        unsafe { self.kernel.launch(stream, buffers) }
    }

    /// The same arrays under another plan, which may differ in the cache's strides alone.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn with_plan(self, modules: &ModuleCache, plan: AttentionPlan) -> Result<Self, String> {
        Ok(Self { kernel: AttentionKernel::new(modules, plan).map_err(text)?, ..self })
    }

    /// Poisons the output again.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn poison(&mut self, stream: &Stream) -> Result<(), CudaError> {
        match &mut self.output.items {
            DeviceItems::Rounded(items) => items.upload(stream, 0, &vec![NAN; items.len()])?,
            DeviceItems::F32(items) => items.upload(stream, 0, &vec![POISON; items.len()])?,
        }
        match &mut self.output.lse {
            Some(lse) => lse.upload(stream, 0, &vec![POISON; lse.len()]),
            None => Ok(()),
        }
    }

    /// What the launches so far have written.
    ///
    /// # Errors
    /// What the driver returns, or arrivals that a launch did not set back.
    pub fn attended(&self, stream: &Stream) -> Result<Attended, String> {
        let output = match &self.output.items {
            DeviceItems::Rounded(items) => Items::Rounded(items.download(stream).map_err(text)?),
            DeviceItems::F32(items) => Items::F32(items.download(stream).map_err(text)?),
        };
        let lse = self.output.lse.as_ref().map(|lse| lse.download(stream)).transpose().map_err(text)?;
        let layout = self.kernel.plan().workspace();
        let zeroed = self.memory.download_range(stream, 0, layout.zeroed_bytes() as usize).map_err(text)?;
        let arrivals = &zeroed[layout.arrivals.start as usize..];
        if arrivals.iter().any(|&byte| byte != 0) {
            return Err("arrivals are not zero after the launch".into());
        }
        let mut word = [0; 8];
        word.copy_from_slice(&zeroed[..8]);
        Ok(Attended { output, lse, status: u64::from_le_bytes(word) })
    }

    /// One launch and what it has written.
    ///
    /// # Errors
    /// As [`Prepared::launch`] and [`Prepared::attended`].
    pub fn attend(&self, stream: &Stream) -> Result<Attended, String> {
        self.launch(stream).map_err(text)?;
        self.attended(stream)
    }
}

impl Asked {
    /// A rounded output and a natural log-sum-exp.
    #[must_use]
    pub fn rounded(candidate: Candidate) -> Self {
        Self { candidate, output_type: OutputType::Rounded, lse_base: LogBase::E }
    }
}
