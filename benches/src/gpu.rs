//! Workloads on a GPU: replays of a graph whose launches read inputs in turns.

use anyhow::{Context as _, bail};
use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        compare::{Output, compare_output},
        launch::AttentionPlan,
        problem::AttentionProblem,
        reference,
        space::{Candidate, default_candidate},
        synthetic::{AttentionInput, Rotation, disjoint_sets},
    },
    cuda::{
        AttentionKernel, Context, CudaError, DeviceBuffer, DeviceInput, DeviceItems, DeviceOutput, Graph,
        ModuleCache, Stream, TimingPolicy, Workspace, time_graph,
    },
};
use dustin_autotune::workload::Workload;

use crate::{Bench, small};

/// The least launches in a graph: events and the graph's own launch cost some microseconds, which they share.
const LAUNCHES: u32 = 32;
const SEED: u64 = 1;

/// A GPU.
#[derive(Debug)]
pub struct Gpu {
    stream: Stream,
    modules: ModuleCache,
}

impl Gpu {
    /// The first GPU.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn open() -> Result<Self, CudaError> {
        let context = Context::new(0)?;
        Ok(Self { stream: Stream::new(&context)?, modules: ModuleCache::new(&context)? })
    }

    /// The GPU's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.modules.device().name.clone()
    }

    /// The bytes per second that a kernel was measured to read on this model, where that has been measured.
    #[must_use]
    pub fn bandwidth(&self) -> Option<f64> {
        self.name().contains("H200").then_some(4.5e12)
    }

    /// Prepares `workload` with the choice that is made without tuning.
    ///
    /// # Errors
    /// There is no room for it, the driver fails, or the result is wrong.
    pub fn bench(&self, workload: &Workload) -> anyhow::Result<GpuBench<'_>> {
        let problem = workload.problem;
        let candidate = default_candidate(&problem, &self.modules.device().limits())?;
        self.check(&small(workload)?, candidate).with_context(|| format!("{candidate} is wrong"))?;
        GpuBench::new(self, &problem, workload.shape.context, candidate)
    }

    fn kernel(&self, problem: &AttentionProblem, candidate: Candidate) -> anyhow::Result<AttentionKernel> {
        let plan = AttentionPlan::new(problem, candidate.variant, candidate.splits)?;
        Ok(AttentionKernel::new(&self.modules, plan)?)
    }

    /// Compares one launch with the reference.
    fn check(&self, workload: &Workload, candidate: Candidate) -> anyhow::Result<()> {
        let stream = &self.stream;
        let input = AttentionInput::uniform(&workload.problem, workload.shape.context, SEED)?;
        let kernel = self.kernel(&input.problem, candidate)?;
        let workspace = Workspace::allocate(stream, kernel.plan())?;
        let arrays = DeviceInput::upload(stream, &input.problem, &input.arrays())?;
        let output =
            DeviceOutput::allocate(stream, &input.problem, &input.strides, OutputType::Rounded, LogBase::E)?;
        // SAFETY: arrays and workspace are of the plan's shapes, and live until the download has waited.
        unsafe { kernel.launch(stream, &arrays.buffers(&output, &workspace))? };
        let DeviceItems::Rounded(items) = &output.items else { bail!("the output is not of 16-bit items") };
        let items = items.download(stream)?;
        let reference = reference::attention(&input.problem, &input.arrays())?;
        compare_output(&input.problem, &input.arrays(), &reference, Output::Rounded(&items))?;
        Ok(())
    }
}

/// A workload's graph, and everything that its launches read and write.
#[derive(Debug)]
pub struct GpuBench<'a> {
    stream: &'a Stream,
    candidate: Candidate,
    graph: Graph,
    launches: u32,
    workspace: Workspace,
    // The graph's nodes refer to what follows.
    _kernel: AttentionKernel,
    _caches: Vec<DeviceInput>,
    _sets: Vec<DeviceBuffer<i32>>,
    _output: DeviceOutput,
}

impl<'a> GpuBench<'a> {
    fn new(
        gpu: &'a Gpu,
        problem: &AttentionProblem,
        context: u32,
        candidate: Candidate,
    ) -> anyhow::Result<Self> {
        let stream = &gpu.stream;
        let rotation = Rotation::new(problem, context, gpu.modules.device().l2_bytes);
        let caches = (0..rotation.caches)
            .map(|cache| {
                let input = AttentionInput::uniform(problem, context, SEED + u64::from(cache))?;
                Ok(DeviceInput::upload(stream, problem, &input.arrays())?)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let sets = disjoint_sets(problem, context, rotation.sets, SEED)
            .iter()
            .map(|set| DeviceBuffer::of(stream, set))
            .collect::<Result<Vec<_>, _>>()?;
        let kernel = gpu.kernel(problem, candidate)?;
        let workspace = Workspace::allocate(stream, kernel.plan())?;
        let output =
            DeviceOutput::allocate(stream, problem, &caches[0].strides, OutputType::Rounded, LogBase::E)?;
        let launches = LAUNCHES.next_multiple_of(rotation.launches());
        let graph = Graph::capture(stream, || {
            for launch in 0..launches as usize {
                let cache = &caches[launch / sets.len() % caches.len()];
                let mut buffers = cache.buffers(&output, &workspace);
                buffers.set = sets[launch % sets.len()].address();
                // SAFETY: arrays and workspace are of the plan's shapes, and live as long as the graph; its launches
                // run one after the other.
                unsafe { kernel.launch(stream, &buffers)? };
            }
            Ok::<(), CudaError>(())
        })?;
        Ok(Self {
            stream,
            candidate,
            graph,
            launches,
            workspace,
            _kernel: kernel,
            _caches: caches,
            _sets: sets,
            _output: output,
        })
    }
}

impl Bench for GpuBench<'_> {
    fn label(&self) -> String {
        self.candidate.to_string()
    }

    fn launches(&self) -> u32 {
        self.launches
    }

    fn time(&mut self, samples: u32) -> anyhow::Result<Vec<f64>> {
        let policy = TimingPolicy { warm_up: 2, samples };
        // SAFETY: everything captured lives as long as the graph.
        let times = unsafe { time_graph(&mut self.graph, self.stream, self.launches, policy)? };
        match self.workspace.status(self.stream)? {
            None => Ok(times),
            Some((fault, sequence)) => bail!("the device reports {fault:?} of sequence {sequence}"),
        }
    }
}
