//! Score gathering on the GPU.

use dustin::{
    cuda::{CudaError, DeviceBuffer, DeviceScoreInput, Graph, ModuleCache, ScoreKernel, Stream, Workspace},
    score::{
        launch::{ScoreBuffers, ScorePlan},
        space::Candidate,
        synthetic::ScoreInput,
    },
};

use crate::{gpu::text, score::Scored};

/// An input in device memory, ready to be launched.
#[derive(Debug)]
pub struct Prepared {
    kernel: ScoreKernel,
    /// The arrays that jobs read.
    pub input: DeviceScoreInput,
    map: DeviceBuffer<f32>,
    /// What the map holds before a job.
    before: Vec<f32>,
    memory: DeviceBuffer<u8>,
    /// The workspace, in memory that held poison.
    pub workspace: Workspace,
}

impl Prepared {
    /// Puts `input` into device memory, with a poisoned workspace.
    ///
    /// # Errors
    /// The job is not possible, or what the driver returns.
    pub fn new(
        modules: &ModuleCache,
        stream: &Stream,
        input: &ScoreInput,
        candidate: Candidate,
    ) -> Result<Self, String> {
        let plan = ScorePlan::new(&input.problem, candidate.logits, candidate.fold, candidate.splits);
        Self::of(modules, stream, input, plan.map_err(text)?).map_err(text)
    }

    fn of(
        modules: &ModuleCache,
        stream: &Stream,
        input: &ScoreInput,
        plan: ScorePlan,
    ) -> Result<Self, CudaError> {
        let mut memory = DeviceBuffer::allocate(stream.context(), plan.workspace_bytes() as usize)?;
        memory.fill(stream, 0xff)?;
        // SAFETY: the result keeps the memory, and touches it only to look at it between jobs.
        let workspace = unsafe { Workspace::borrow(&plan, memory.address(), plan.workspace_bytes())? };
        workspace.initialise(stream)?;
        Ok(Self {
            kernel: ScoreKernel::new(modules, plan)?,
            input: DeviceScoreInput::upload(stream, &input.problem, &input.arrays())?,
            map: DeviceBuffer::of(stream, &input.map)?,
            before: input.map.clone(),
            memory,
            workspace,
        })
    }

    /// The addresses of a job.
    #[must_use]
    pub fn buffers(&self) -> ScoreBuffers<'_> {
        self.input.buffers(&self.map, &self.workspace)
    }

    /// The same arrays under another plan, which may differ in the cache's strides alone.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn with_plan(self, modules: &ModuleCache, plan: ScorePlan) -> Result<Self, String> {
        Ok(Self { kernel: ScoreKernel::new(modules, plan).map_err(text)?, ..self })
    }

    /// Launches the job and does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch(&self, stream: &Stream) -> Result<(), CudaError> {
        self.launch_with(stream, &self.buffers())
    }

    /// Launches the job over other arrays of the same shapes.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch_with(&self, stream: &Stream, buffers: &ScoreBuffers<'_>) -> Result<(), CudaError> {
        // SAFETY: a test's arrays have the shapes of its problem, and it looks at the results, or drops the arrays,
        // behind a wait.
        unsafe { self.kernel.launch(stream, buffers) }
    }

    /// A graph of one job.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn capture(&self, stream: &Stream) -> Result<Graph, CudaError> {
        Graph::capture(stream, || self.launch(stream))
    }

    /// Makes the map what it was before the first job.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn renew_map(&mut self, stream: &Stream) -> Result<(), CudaError> {
        self.map.upload(stream, 0, &self.before)
    }

    /// What the jobs so far have written.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn scored(&self, stream: &Stream) -> Result<Scored, String> {
        let map = self.map.download(stream).map_err(text)?;
        let mut word = [0; 8];
        word.copy_from_slice(&self.memory.download_range(stream, 0, 8).map_err(text)?);
        Ok(Scored { map, status: u64::from_le_bytes(word) })
    }

    /// One job and what it has written.
    ///
    /// # Errors
    /// As [`Prepared::launch`] and [`Prepared::scored`].
    pub fn score(&self, stream: &Stream) -> Result<Scored, String> {
        self.launch(stream).map_err(text)?;
        self.scored(stream)
    }
}
