//! A whole verification step on a GPU: the stages of a [`Verifier`], each alone and all in one graph, against the same layers with
//! attention over the whole cache.

mod memory;
mod shape;

use anyhow::ensure;
use dustin::{
    cuda::{CudaError, Graph, SideStream, Stream, TimingPolicy, Verifier, VerifierWorkspace, time_graph},
    profile::{Entry, GpuCatalogue, Tuned},
    verifier::{Report, Stages, VerifierPlan},
};

use self::memory::Memory;
pub use self::shape::{LAYERS, STEPS, StepShape};
use crate::{gpu::Gpu, quantile};

/// How often each graph is replayed.
const POLICY: TimingPolicy = TimingPolicy { warm_up: 3, samples: 15 };

/// Selections in the graph that times them: one takes as long as a graph's own launch.
const SELECTIONS: u32 = 32;

/// Medians, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct StepTimes {
    /// The target's map.
    pub target_map: f64,
    /// The draft's map.
    pub draft_map: f64,
    /// Both, on two streams.
    pub both_maps: f64,
    /// Choosing the sets.
    pub selection: f64,
    /// All layers: queries, keys and values written, and attention over the sets.
    pub sparse: f64,
    /// All layers, with attention over the whole cache.
    pub full: f64,
    /// What writes queries, keys and values, in all layers.
    pub appends: f64,
    /// Both maps one behind the other, selection and all layers, in one graph.
    pub step: f64,
    /// The same with both maps on two streams.
    pub step_beside: f64,
    /// The same without the target's map, which is gathered while the draft model drafts.
    pub step_off: f64,
}

/// A step, ready to be timed.
#[derive(Debug)]
pub struct Step<'a> {
    stream: &'a Stream,
    side: SideStream,
    verifier: Verifier,
    workspace: VerifierWorkspace,
    memory: Memory,
    caches: u32,
}

impl<'a> Step<'a> {
    /// A step of `shape` with the choices among `entries`, a profile's or none.
    ///
    /// # Errors
    /// There is no room for it, or the driver fails.
    pub fn new(gpu: &'a Gpu, shape: &StepShape, entries: Vec<Entry>) -> anyhow::Result<Self> {
        let (stream, modules) = (gpu.stream(), gpu.modules());
        let problem = shape.problem()?;
        let memory = Memory::new(stream, shape, &problem, &Stages::new(&problem)?)?;
        let tuned = Tuned::new(entries, GpuCatalogue { limits: modules.device().limits() });
        let plan = VerifierPlan::new(&problem, &tuned, &modules.device().id())?;
        Ok(Self {
            stream,
            side: SideStream::new(stream.context())?,
            workspace: VerifierWorkspace::allocate(stream, &plan)?,
            verifier: Verifier::new(modules, stream, plan, memory.engine())?,
            memory,
            caches: shape.caches,
        })
    }

    /// Which choices serve the stages, and why.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.verifier.plan().report()
    }

    /// Times every part.
    ///
    /// # Errors
    /// The driver fails, or a stage reports a fault.
    pub fn time(&mut self) -> anyhow::Result<StepTimes> {
        let layer = [LayerPart::Append, LayerPart::Attend];
        let full = [LayerPart::Append, LayerPart::AttendAll];
        let times = StepTimes {
            target_map: self.median(&[StepPart::Target], &[], 1)?,
            draft_map: self.median(&[StepPart::Draft], &[], 1)?,
            both_maps: self.median(&[StepPart::BothMaps], &[], 1)?,
            selection: self.median(&[StepPart::Select; SELECTIONS as usize], &[], SELECTIONS)?,
            sparse: self.median(&[], &layer, 1)?,
            appends: self.median(&[], &layer[..1], 1)?,
            // What selection has to load again is then the draft's map, of which it reads less.
            step: self.median(&[StepPart::Draft, StepPart::Target, StepPart::Select], &layer, 1)?,
            step_beside: self.median(&[StepPart::BothMaps, StepPart::Select], &layer, 1)?,
            step_off: self.median(&[StepPart::Draft, StepPart::Select], &layer, 1)?,
            // Last: it draws so much power that the clock is lowered, for longer than it takes itself.
            full: self.median(&[], &full, 1)?,
        };
        let faults = self.workspace.status(self.stream)?;
        ensure!(faults.is_empty(), "the device reports {faults:?}");
        Ok(times)
    }

    /// Microseconds of one of `count` times that a graph of these parts does the same.
    fn median(&mut self, step: &[StepPart], layer: &[LayerPart], count: u32) -> anyhow::Result<f64> {
        let stream = self.stream;
        let mut graph = Graph::capture(stream, || {
            self.submit_step(step)?;
            self.submit_layers(layer)
        })?;
        // SAFETY: everything captured lives as long as the step.
        let times = unsafe { time_graph(&mut graph, stream, count, POLICY)? };
        Ok(quantile(&times, 0.5))
    }

    fn submit_step(&mut self, parts: &[StepPart]) -> Result<(), CudaError> {
        let Self { stream, side, verifier, workspace, memory, .. } = self;
        let step = memory.step();
        // SAFETY: here and below, arrays and workspace are the step's own, of the plan's shapes, and outlive the graph.
        let target = |stream: &Stream| unsafe { verifier.score_target(stream, workspace, step) };
        // SAFETY: as above.
        let draft = |stream: &Stream| unsafe { verifier.score_draft(stream, workspace, step) };
        for part in parts {
            match part {
                StepPart::Target => target(stream)?,
                StepPart::Draft => draft(stream)?,
                StepPart::BothMaps => side.beside(stream, target, draft)?,
                // SAFETY: as above.
                StepPart::Select => unsafe { verifier.select(stream, workspace, step)? },
            }
        }
        Ok(())
    }

    /// Submits `parts` for every layer.
    fn submit_layers(&self, parts: &[LayerPart]) -> Result<(), CudaError> {
        let Self { stream, verifier, workspace, memory, caches, .. } = self;
        let step = memory.step();
        for layer in 0..LAYERS {
            let cache = layer % *caches;
            for part in parts {
                // SAFETY: as above; the launches of a layer follow each other as `stable` says.
                unsafe {
                    match part {
                        LayerPart::Append => {
                            verifier.append(stream, workspace, cache, step, &memory.append(layer))?;
                        }
                        LayerPart::Attend => {
                            verifier.attention(stream, workspace, cache, step, &memory.attention())?;
                        }
                        LayerPart::AttendAll => {
                            verifier.full_attention(stream, workspace, cache, step, &memory.attention())?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// A stage that a step has once.
#[derive(Clone, Copy, Debug)]
enum StepPart {
    /// The target's map.
    Target,
    /// The draft's map.
    Draft,
    /// Both, on two streams.
    BothMaps,
    /// The sets.
    Select,
}

/// A stage that every layer has.
#[derive(Clone, Copy, Debug)]
enum LayerPart {
    /// Its own rows.
    Append,
    /// Attention over the sets.
    Attend,
    /// Attention over the whole cache.
    AttendAll,
}
