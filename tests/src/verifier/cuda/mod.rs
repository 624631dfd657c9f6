//! A step on the GPU.

mod settle;
mod step;

use dustin::{
    attention::arrays::{AttentionStrides, LogBase, OutputType},
    cache::append::arrays::AppendStrides,
    cuda::{CudaError, DeviceBuffer, ModuleCache, SideStream, Stream, Verifier},
    profile::{GpuCatalogue, Tuned},
    select::compare::Selected,
    verifier::{AppendRows, AttentionRows, CaptureRows, EngineMemory, VerifierPlan},
};

pub use self::step::Step;
use self::step::{Layer, Queries};
use super::{
    addresses::{Addresses, LayerAddresses},
    outcome::{Attended, Outcome},
    world::{Caches, NAN, World},
};
use crate::gpu::text;

/// What an engine holds: caches, captured queries, and the verifier that was made for them.
#[derive(Debug)]
pub struct Engine {
    /// The verifier.
    pub verifier: Verifier,
    memory: EngineMemory,
    world: World,
    target: Vec<[DeviceBuffer<u16>; 2]>,
    /// Captured queries, the target's and the draft's.
    queries: [DeviceBuffer<u16>; 2],
    // Keeps the memory that the verifier was made for.
    _draft_keys: Vec<DeviceBuffer<u16>>,
}

impl Engine {
    /// Puts `world` into device memory and makes a verifier without a profile.
    ///
    /// # Errors
    /// The problem is not valid, or what the driver returns.
    pub fn new(modules: &ModuleCache, stream: &Stream, world: &World) -> Result<Self, String> {
        let tuned = Tuned::new([], GpuCatalogue { limits: modules.device().limits() });
        let plan = VerifierPlan::new(&world.problem, &tuned, &modules.device().id()).map_err(text)?;
        Self::of(modules, stream, world, plan).map_err(text)
    }

    fn of(
        modules: &ModuleCache,
        stream: &Stream,
        world: &World,
        plan: VerifierPlan,
    ) -> Result<Self, CudaError> {
        let put = |items: &Vec<u16>| DeviceBuffer::of(stream, items);
        let layer = |caches: &Caches| Ok([put(&caches.key)?, put(&caches.value)?]);
        let target: Vec<[DeviceBuffer<u16>; 2]> =
            world.target.iter().map(layer).collect::<Result<_, CudaError>>()?;
        let draft_keys: Vec<_> = world.draft_keys.iter().map(put).collect::<Result<_, _>>()?;
        // The draft's are captured in each step.
        let queries = [put(&world.target_queries)?, put(&vec![NAN; world.draft_queries.len()])?];
        let memory = EngineMemory {
            target_keys: target.iter().map(|[key, _]| key.address()).collect(),
            target_values: target.iter().map(|[_, value]| value.address()).collect(),
            target_queries: queries[0].address(),
            draft_keys: draft_keys.iter().map(DeviceBuffer::address).collect(),
            draft_queries: queries[1].address(),
        };
        Ok(Self {
            verifier: Verifier::new(modules, stream, plan, &memory)?,
            memory,
            world: world.clone(),
            target,
            queries,
            _draft_keys: draft_keys,
        })
    }

    /// Makes the caches and the captured queries what they were before any step.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn renew_caches(&mut self, stream: &Stream) -> Result<(), CudaError> {
        for ([key, value], caches) in self.target.iter_mut().zip(&self.world.target) {
            key.upload(stream, 0, &caches.key)?;
            value.upload(stream, 0, &caches.value)?;
        }
        self.queries[0].upload(stream, 0, &self.world.target_queries)?;
        self.queries[1].upload(stream, 0, &vec![NAN; self.world.draft_queries.len()])?;
        Ok(())
    }

    /// The addresses of its caches and captured queries.
    #[must_use]
    pub const fn memory(&self) -> &EngineMemory {
        &self.memory
    }

    /// The addresses of a step's arrays.
    #[must_use]
    pub fn addresses(&self, step: &Step) -> Addresses {
        let (stages, strides) = (
            self.verifier.plan().stages(),
            AttentionStrides::dense(&self.verifier.plan().stages().attention),
        );
        let copied = stages.append.query_heads > 0;
        let layer = |(number, layer): (usize, &Layer)| LayerAddresses {
            append: AppendRows {
                key: layer.key.address(),
                value: layer.value.address(),
                query: if copied { layer.query.address() } else { 0 },
                query_copy: layer.query_copy.address(),
                strides: AppendStrides::dense(&stages.append),
                stable: number > 0,
            },
            attend: std::array::from_fn(|which| AttentionRows {
                query: if copied { layer.query_copy.address() } else { layer.query.address() },
                query_row: strides.query_row,
                query_head: strides.query_head,
                output: layer.output[which].address(),
                output_row: strides.output_row,
                output_head: strides.output_head,
                output_type: OutputType::Rounded,
                lse: layer.lse[which].address(),
                lse_base: LogBase::E,
                stable: true,
            }),
        };
        let dim = u64::from(stages.draft_captured.head_dim);
        let heads = self.world.problem.draft.map_or(0, |draft| draft.model.share.local().query_heads);
        let forward = |own: &Queries| {
            let rows = CaptureRows {
                query: own.query.address(),
                query_row: u64::from(heads) * dim,
                query_head: dim,
                total_rows: self.world.problem.limits.max_batch,
                row_starts: step.forward_starts,
                rows: 0,
                slots: step.buffers.draft.slots,
            };
            (own.layer, own.token, rows)
        };
        Addresses {
            step: step.buffers,
            forwards: step.forwards.iter().map(forward).collect(),
            layers: step.layers.iter().enumerate().map(layer).collect(),
            accepted: step.accepted,
            acceptance: step.settling.as_ref().map(|own| own.buffers),
            captures: self.captures(step),
        }
    }

    /// Submits the draft's captures, the maps and the selection to `main`; with `side`, the target's map beside the draft's.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn choose(&self, main: &Stream, side: Option<&mut SideStream>, step: &Step) -> Result<(), CudaError> {
        let (verifier, stages) = (&self.verifier, self.verifier.plan().stages());
        let own = self.addresses(step);
        let target = |stream: &Stream| {
            // SAFETY: the arrays have the shapes of the plan, and outlive the step; nothing else touches them meanwhile.
            let score = || unsafe { verifier.score_target(stream, &step.workspace, &own.step) };
            if stages.target_score.is_read() { score() } else { Ok(()) }
        };
        let draft = |stream: &Stream| {
            for (layer, token, rows) in &own.forwards {
                // SAFETY: as above.
                unsafe { verifier.capture_draft(stream, &step.workspace, *layer, *token, rows)? };
            }
            // SAFETY: as above.
            let score = || unsafe { verifier.score_draft(stream, &step.workspace, &own.step) };
            if stages.draft_score.is_read() { score() } else { Ok(()) }
        };
        match side {
            Some(side) => side.beside(main, target, draft)?,
            None => target(main).and_then(|()| draft(main))?,
        }
        self.select(main, step)
    }

    /// Submits the selection.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn select(&self, stream: &Stream, step: &Step) -> Result<(), CudaError> {
        // SAFETY: the arrays have the shapes of the plan, and outlive the step; nothing else touches them meanwhile.
        unsafe { self.verifier.select(stream, &step.workspace, &step.buffers) }
    }

    /// Submits the layers: append, attention over the sets, attention over all tokens.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn layers(&self, stream: &Stream, step: &Step) -> Result<(), CudaError> {
        let own = self.addresses(step);
        for (number, LayerAddresses { append, attend: [sparse, full] }) in (0..).zip(&own.layers) {
            // SAFETY: the arrays have the shapes of the plan, and outlive the step; nothing else touches them meanwhile; what is
            // launched right before is the selection, for the first layer, or a layer's attention.
            unsafe {
                self.verifier.append(stream, &step.workspace, number, &own.step, append)?;
                self.verifier.attention(stream, &step.workspace, number, &own.step, sparse)?;
                self.verifier.full_attention(stream, &step.workspace, number, &own.step, full)?;
            }
        }
        Ok(())
    }

    /// What a step has written. `appended` are the caches as they were [read](Self::caches) before the compaction.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn outcome(&self, stream: &Stream, step: &Step, appended: Vec<Caches>) -> Result<Outcome, CudaError> {
        let get = |which: usize| {
            let layer = |layer: &Layer| {
                let lse = layer.lse[which].download(stream)?;
                Ok(Attended {
                    output: layer.output[which].download(stream)?,
                    lse: (!lse.is_empty()).then_some(lse),
                })
            };
            step.layers.iter().map(layer).collect::<Result<_, CudaError>>()
        };
        let physical = step.physical.download(stream)?;
        Ok(Outcome {
            target_map: step.maps[0].download(stream)?,
            draft_map: step.maps[1].download(stream)?,
            selected: Selected {
                set: step.set.download(stream)?,
                physical: (!physical.is_empty()).then_some(physical),
                set_sizes: step.set_sizes.download(stream)?,
                status: 0,
            },
            sparse: get(0)?,
            full: get(1)?,
            appended,
            compacted: self.caches(stream)?,
            settled: self.settled(stream, step)?,
            status: step.workspace.status(stream)?,
        })
    }

    /// The target's caches as they are.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn caches(&self, stream: &Stream) -> Result<Vec<Caches>, CudaError> {
        let layer = |[key, value]: &[DeviceBuffer<u16>; 2]| {
            Ok(Caches { key: key.download(stream)?, value: value.download(stream)? })
        };
        self.target.iter().map(layer).collect()
    }

    /// The whole step, eager, and what it wrote.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn run(
        &self,
        stream: &Stream,
        side: Option<&mut SideStream>,
        step: &Step,
    ) -> Result<Outcome, CudaError> {
        self.choose(stream, side, step)?;
        self.layers(stream, step)?;
        let appended = self.caches(stream)?;
        self.settle(stream, step)?;
        self.outcome(stream, step, appended)
    }
}
