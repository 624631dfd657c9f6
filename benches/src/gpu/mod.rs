//! Workloads on a GPU: replays of a graph whose launches read inputs in turns.

mod accept;
mod attention;
mod cache;
mod chain;
mod score;
mod select;

use std::fmt;

use anyhow::bail;
use dustin::cuda::{
    Context, CudaError, Graph, ModuleCache, Stream, TimingPolicy, Workspace, graph_launches, time_graph,
};
use dustin_autotune::workload::Problem;

use crate::{Bench, work::Work};

/// A GPU.
#[derive(Debug)]
pub struct Gpu {
    stream: Stream,
    modules: ModuleCache,
}

/// A compiled kernel, its workspace, and all that its launches read and write.
trait Job: fmt::Debug {
    /// What runs: variant and launch parameters.
    fn label(&self) -> String;

    /// Inputs that take turns.
    fn turns(&self) -> u32;

    /// The workspaces.
    fn workspaces(&self) -> Vec<&Workspace>;

    /// Launches over the input whose turn it is.
    ///
    /// # Safety
    /// The job lives until the launch has ended, and launches run one after the other.
    ///
    /// # Errors
    /// What the driver returns.
    unsafe fn launch(&self, stream: &Stream, turn: u32) -> Result<(), CudaError>;
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

    /// The stream that everything runs on.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The compiled kernels, and the device.
    pub(crate) fn modules(&self) -> &ModuleCache {
        &self.modules
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

    /// Prepares `work` with the choice that is made without tuning.
    ///
    /// # Errors
    /// There is no room for it, the driver fails, or the result is wrong.
    pub fn bench(&self, work: &Work) -> anyhow::Result<GpuBench<'_>> {
        let workload = match work {
            Work::Cache(work) => return cache::bench(self, work),
            Work::Accept(work) => return accept::bench(self, work),
            Work::Chain(work) => return chain::bench(self, work),
            Work::Tuned(workload) => workload,
        };
        let context = workload.context();
        match &workload.problem {
            Problem::Attention(problem) => attention::bench(self, problem, context),
            Problem::Score(problem) => score::bench(self, problem, context),
            Problem::Select(problem) => select::bench(self, problem, context),
        }
    }

    /// One launch over the first input. Waits for the stream.
    fn launch(&self, job: &impl Job) -> anyhow::Result<()> {
        // SAFETY: the launch has ended when the status has been read.
        unsafe { job.launch(&self.stream, 0)? };
        require_no_fault(job, &self.stream)
    }
}

/// A workload's graph, and everything that its launches read and write.
#[derive(Debug)]
pub struct GpuBench<'a> {
    stream: &'a Stream,
    graph: Graph,
    launches: u32,
    // The graph's nodes refer to what it owns.
    job: Box<dyn Job>,
}

impl<'a> GpuBench<'a> {
    /// Launches of `job`, each of which moves `bytes` at the least.
    fn new(gpu: &'a Gpu, job: impl Job + 'static, bytes: u64) -> anyhow::Result<Self> {
        let (stream, turns) = (&gpu.stream, job.turns().max(1));
        let launches = graph_launches(bytes, turns);
        let graph = Graph::capture(stream, || {
            for launch in 0..launches {
                // SAFETY: the job lives as long as the graph, whose launches run one after the other.
                unsafe { job.launch(stream, launch % turns)? };
            }
            Ok::<(), CudaError>(())
        })?;
        Ok(Self { stream, graph, launches, job: Box::new(job) })
    }
}

impl Bench for GpuBench<'_> {
    fn label(&self) -> String {
        self.job.label()
    }

    fn launches(&self) -> u32 {
        self.launches
    }

    fn time(&mut self, samples: u32) -> anyhow::Result<Vec<f64>> {
        let policy = TimingPolicy { warm_up: 2, samples };
        // SAFETY: everything captured lives as long as the graph.
        let times = unsafe { time_graph(&mut self.graph, self.stream, self.launches, policy)? };
        require_no_fault(&*self.job, self.stream)?;
        Ok(times)
    }
}

fn require_no_fault(job: &(impl Job + ?Sized), stream: &Stream) -> anyhow::Result<()> {
    for workspace in job.workspaces() {
        if let Some((fault, sequence)) = workspace.status(stream)? {
            bail!("the device reports {fault:?} of sequence {sequence}");
        }
    }
    Ok(())
}
