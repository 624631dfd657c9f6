//! The step on a GPU: a [`Verifier`] over arrays in device memory, each part launched on a stream or captured into a graph.

mod memory;

use anyhow::ensure;
use dustin::{
    cuda::{
        Context, CudaError, Graph, ModuleCache, SideStream, Stream, TimingPolicy, Verifier,
        VerifierWorkspace, time_graph,
    },
    profile::{Entry, GpuCatalogue, Tuned},
    verifier::{Report, VerifierPlan},
};

use self::memory::Memory;
use crate::{
    device::{Device, Part, Reads, Results, median},
    world::World,
};

/// How often each graph is replayed.
const POLICY: TimingPolicy = TimingPolicy { warm_up: 3, samples: 15 };

/// How often a part is in the graph that times it: a short one takes no longer than a graph's own launch.
const REPETITIONS: u32 = 16;

/// The verifier and all that an engine owns.
pub(crate) struct Gpu<'a> {
    world: &'a World,
    stream: Stream,
    side: SideStream,
    verifier: Verifier,
    workspace: VerifierWorkspace,
    memory: Memory,
}

impl<'a> Gpu<'a> {
    pub(crate) fn new(world: &'a World, entries: Vec<Entry>) -> anyhow::Result<Self> {
        // An engine has a context and a stream of its own: Context::borrow and Stream::borrow take them.
        let context = Context::new(0)?;
        let (stream, modules) = (Stream::new(&context)?, ModuleCache::new(&context)?);
        let device = modules.device();
        let tuned = Tuned::new(entries, GpuCatalogue { limits: device.limits() });
        let plan = VerifierPlan::new(&world.problem, &tuned, &device.id())?;
        let memory = Memory::new(&stream, world)?;
        Ok(Self {
            world,
            side: SideStream::new(&context)?,
            workspace: VerifierWorkspace::allocate(&stream, &plan)?,
            verifier: Verifier::new(&modules, &stream, plan, &memory.engine)?,
            stream,
            memory,
        })
    }

    /// Submits `parts` to the stream. Waits for nothing.
    fn submit(&mut self, parts: &[Part]) -> Result<(), CudaError> {
        parts.iter().try_for_each(|&part| self.submit_part(part))
    }

    fn submit_part(&mut self, part: Part) -> Result<(), CudaError> {
        let Self { world, stream, side, verifier, workspace, memory } = self;
        let (stages, step) = (&world.stages, &memory.step);
        // SAFETY: here and below, arrays and workspace are this engine's, of the plan's shapes; they outlive launches and graphs,
        // and nothing else touches them. Launches of a layer follow each other as `stable` says.
        let target_map = |stream: &Stream| unsafe { verifier.score_target(stream, workspace, step) };
        let draft_map = |stream: &Stream| {
            for (own, forwards) in stages.draft_captured.layers.iter().zip(&memory.forwards) {
                for (token, rows) in (0..).zip(forwards) {
                    // SAFETY: as above.
                    unsafe { verifier.capture_draft(stream, workspace, own.layer, token, rows)? };
                }
            }
            // SAFETY: as above.
            unsafe { verifier.score_draft(stream, workspace, step) }
        };
        match part {
            Part::CapturePrompt => {
                for (own, rows) in stages.target_captured.layers.iter().zip(&memory.prompt) {
                    // SAFETY: as above.
                    unsafe { verifier.capture_target(stream, workspace, own.layer, rows)? };
                }
                Ok(())
            }
            Part::TargetMap => target_map(stream),
            Part::DraftMap => draft_map(stream),
            // The target's map depends on the step before alone.
            Part::BothMaps => side.beside(stream, target_map, draft_map),
            // SAFETY: as above.
            Part::Select => unsafe { verifier.select(stream, workspace, step) },
            Part::Layers(reads) => {
                (0..world.shape.layers).try_for_each(|layer| self.submit_layer(layer, reads))
            }
            // SAFETY: as above.
            Part::Accept => unsafe { verifier.accept(stream, workspace, step, &memory.acceptance) },
            // SAFETY: as above.
            Part::Compact => unsafe {
                verifier.compact(stream, workspace, step, &memory.acceptance.accepted())
            },
            Part::Capture => stages.target_captured.layers.iter().try_for_each(|own| {
                // SAFETY: as above.
                unsafe { verifier.capture_target(stream, workspace, own.layer, &memory.last) }
            }),
        }
    }

    fn submit_layer(&self, layer: u32, reads: Reads) -> Result<(), CudaError> {
        let Self { world, stream, verifier, workspace, memory, .. } = self;
        let (step, cache, rows) = (&memory.step, layer % world.shape.caches, memory.attention());
        // SAFETY: as in `submit_part`.
        unsafe { verifier.append(stream, workspace, cache, step, &memory.append(layer))? };
        match reads {
            Reads::Nothing => Ok(()),
            // SAFETY: as in `submit_part`.
            Reads::Sets => unsafe { verifier.attention(stream, workspace, cache, step, &rows) },
            // SAFETY: as in `submit_part`.
            Reads::Everything => unsafe { verifier.full_attention(stream, workspace, cache, step, &rows) },
        }
    }

    /// `parts`, `count` times, as one graph.
    fn graph(&mut self, parts: &[Part], count: u32) -> Result<Graph, CudaError> {
        // A second handle of the same stream, since `submit` borrows all of `self`.
        // SAFETY: the stream outlives the capture.
        let stream = unsafe { Stream::borrow(self.stream.context(), self.stream.as_raw()) };
        Graph::capture(&stream, || (0..count).try_for_each(|_| self.submit(parts)))
    }
}

impl Device for Gpu<'_> {
    fn report(&self) -> &Report {
        self.verifier.plan().report()
    }

    fn run(&mut self, parts: &[Part]) -> anyhow::Result<()> {
        self.submit(parts)?;
        Ok(self.stream.synchronize()?)
    }

    fn replay(&mut self, parts: &[Part]) -> anyhow::Result<()> {
        let mut graph = self.graph(parts, 1)?;
        // SAFETY: everything captured is this engine's.
        unsafe { graph.launch(&self.stream)? };
        Ok(self.stream.synchronize()?)
    }

    fn time(&mut self, parts: &[Part]) -> anyhow::Result<f64> {
        let count = if parts.iter().any(|part| matches!(part, Part::Layers(_))) { 1 } else { REPETITIONS };
        let mut graph = self.graph(parts, count)?;
        // SAFETY: everything captured is this engine's.
        Ok(median(unsafe { time_graph(&mut graph, &self.stream, count, POLICY)? }))
    }

    fn results(&mut self) -> anyhow::Result<Results> {
        let found = self.workspace.status(&self.stream)?;
        ensure!(found.is_empty(), "stages have found {found:?}");
        Ok(self.memory.results(&self.stream)?)
    }
}
