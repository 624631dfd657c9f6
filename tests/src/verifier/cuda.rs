//! A step on the GPU.

use std::sync::Arc;

use dustin::{
    attention::arrays::{AttentionStrides, LogBase, OutputType},
    cache::append::arrays::AppendStrides,
    cuda::{CudaError, DeviceBuffer, ModuleCache, SideStream, Stream, Verifier, VerifierWorkspace},
    profile::{GpuCatalogue, Tuned},
    select::compare::{Selected, UNWRITTEN},
    verifier::{
        AcceptedBuffers, AppendRows, AttentionRows, DraftBuffers, EngineMemory, Sizes, StepBuffers,
        VerifierPlan,
    },
};

use super::{
    batch::Batch,
    outcome::{Attended, Outcome, POISON},
    world::{Caches, NAN, World},
};
use crate::gpu::text;

/// What an engine holds: caches, captured queries, and the verifier that was made for them.
#[derive(Debug)]
pub struct Engine {
    /// The verifier.
    pub verifier: Arc<Verifier>,
    world: World,
    target: Vec<[DeviceBuffer<u16>; 2]>,
    // Keep the memory that the verifier was made for.
    _draft_keys: Vec<DeviceBuffer<u16>>,
    _queries: [DeviceBuffer<u16>; 2],
}

/// One step's arrays in device memory. Steps that read the same engine's caches append to them, so that at a time there is one.
#[derive(Debug)]
pub struct Step {
    buffers: StepBuffers,
    accepted: AcceptedBuffers,
    layers: Vec<Layer>,
    /// The workspace, which held poison.
    pub workspace: VerifierWorkspace,
    maps: [DeviceBuffer<f32>; 2],
    set: DeviceBuffer<i32>,
    physical: DeviceBuffer<i32>,
    set_sizes: DeviceBuffer<i32>,
    indices: Vec<DeviceBuffer<i32>>,
    masks: DeviceBuffer<u64>,
    // Keeps the workspace's memory.
    _memory: DeviceBuffer<u8>,
}

impl Step {
    /// The addresses of its arrays.
    #[must_use]
    pub fn buffers(&self) -> &StepBuffers {
        &self.buffers
    }

    /// The target's map as it is.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn target_map(&self, stream: &Stream) -> Result<Vec<f32>, CudaError> {
        self.maps[0].download(stream)
    }

    /// Puts another map in the place of the target's, as a collective does.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn put_target_map(&mut self, stream: &Stream, map: &[f32]) -> Result<(), CudaError> {
        self.maps[0].upload(stream, 0, map)
    }
}

/// One layer's rows and what its attention writes, over the sets and over all tokens.
#[derive(Debug)]
struct Layer {
    key: DeviceBuffer<u16>,
    value: DeviceBuffer<u16>,
    query: DeviceBuffer<u16>,
    query_copy: DeviceBuffer<u16>,
    output: [DeviceBuffer<u16>; 2],
    lse: [DeviceBuffer<f32>; 2],
}

/// The index arrays of a batch.
fn indices(batch: &Batch) -> [&[i32]; 9] {
    [
        &batch.lengths,
        &batch.row_starts,
        &batch.block_table,
        &batch.map_starts,
        &batch.slots,
        &batch.draft_table,
        &batch.draft_slots,
        &batch.accepted,
        &batch.accepted_counts,
    ]
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
        let queries = [put(&world.target_queries)?, put(&world.draft_queries)?];
        let memory = EngineMemory {
            target_keys: target.iter().map(|[key, _]| key.address()).collect(),
            target_values: target.iter().map(|[_, value]| value.address()).collect(),
            target_queries: queries[0].address(),
            draft_keys: draft_keys.iter().map(DeviceBuffer::address).collect(),
            draft_queries: queries[1].address(),
        };
        Ok(Self {
            verifier: Arc::new(Verifier::new(modules, stream, plan, &memory)?),
            world: world.clone(),
            target,
            _draft_keys: draft_keys,
            _queries: queries,
        })
    }

    /// Puts the arrays of `batch` into device memory, with a workspace that held poison.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn step(&self, stream: &Stream, batch: &Batch) -> Result<Step, CudaError> {
        let (world, plan) = (&self.world, self.verifier.plan());
        let stages = &world.stages;
        let sizes: Sizes = plan.sizes();
        let poison = |items: u64| DeviceBuffer::of(stream, &vec![POISON; items as usize]);
        let maps = [poison(sizes.target_map)?, poison(sizes.draft_map)?];
        let unwritten = |items: u64| DeviceBuffer::of(stream, &vec![UNWRITTEN; items as usize]);
        let (set, physical) = (unwritten(sizes.set)?, unwritten(sizes.physical)?);
        let set_sizes = unwritten(sizes.set_sizes)?;
        let masks = DeviceBuffer::of(stream, &batch.masks)?;
        let put = |items: &[i32]| DeviceBuffer::of(stream, items);
        let indices: Vec<_> = indices(batch).into_iter().map(put).collect::<Result<_, _>>()?;
        let [lengths, row_starts, block_table, map_starts, slots, draft_table, draft_slots, rows, counts] =
            std::array::from_fn(|index| indices[index].address());
        let buffers = StepBuffers {
            lengths,
            row_starts,
            block_table,
            table_stride: world.problem.target_table_width().into(),
            map_starts,
            slots: if stages.selection.maps.target() { slots } else { 0 },
            draft: DraftBuffers {
                lengths,
                block_table: draft_table,
                table_stride: world.problem.draft_table_width().into(),
                slots: draft_slots,
            },
            target_map: maps[0].address(),
            draft_map: maps[1].address(),
            set: set.address(),
            physical: physical.address(),
            set_sizes: set_sizes.address(),
            masks: masks.address(),
        };
        let accepted = AcceptedBuffers { rows, stride: stages.compaction.accepted.into(), counts };
        let copied = stages.append.query_heads > 0;
        let lses = u64::from(stages.attention.total_rows * stages.attention.query_heads);
        let lses = if stages.attention.lse { lses } else { 0 };
        let halves = |items: &[u16]| DeviceBuffer::of(stream, items);
        let layers = batch.rows.iter().map(|rows| {
            let nothing = vec![NAN; rows.query.len()];
            Ok::<_, CudaError>(Layer {
                key: halves(&rows.key)?,
                value: halves(&rows.value)?,
                query: halves(&rows.query)?,
                query_copy: halves(if copied { &nothing } else { &[] })?,
                output: [halves(&nothing)?, halves(&nothing)?],
                lse: [poison(lses)?, poison(lses)?],
            })
        });
        let layers = layers.collect::<Result<_, _>>()?;
        let bytes = plan.workspace_bytes();
        let mut memory = DeviceBuffer::allocate(stream.context(), bytes as usize)?;
        memory.fill(stream, 0xff)?;
        // SAFETY: the result keeps the memory and touches it in the workspace alone.
        let workspace = unsafe { VerifierWorkspace::borrow(plan, memory.address(), bytes)? };
        workspace.initialise(stream)?;
        stream.synchronize()?;
        Ok(Step {
            buffers,
            accepted,
            layers,
            workspace,
            maps,
            set,
            physical,
            set_sizes,
            indices,
            masks,
            _memory: memory,
        })
    }

    /// Puts another batch into the arrays of `step`, and makes caches and whatever a step writes what they were before.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn renew(&mut self, stream: &Stream, step: &mut Step, batch: &Batch) -> Result<(), CudaError> {
        for (buffer, items) in step.indices.iter_mut().zip(indices(batch)) {
            buffer.upload(stream, 0, items)?;
        }
        step.masks.upload(stream, 0, &batch.masks)?;
        for (layer, rows) in step.layers.iter_mut().zip(&batch.rows) {
            layer.key.upload(stream, 0, &rows.key)?;
            layer.value.upload(stream, 0, &rows.value)?;
            layer.query.upload(stream, 0, &rows.query)?;
        }
        self.renew_caches(stream)?;
        for map in &mut step.maps {
            map.upload(stream, 0, &vec![POISON; map.len()])?;
        }
        for indices in [&mut step.set, &mut step.physical, &mut step.set_sizes] {
            indices.upload(stream, 0, &vec![UNWRITTEN; indices.len()])?;
        }
        for Layer { query_copy, output: [sparse, full], lse, .. } in &mut step.layers {
            for items in [query_copy, sparse, full] {
                items.upload(stream, 0, &vec![NAN; items.len()])?;
            }
            for items in lse {
                items.upload(stream, 0, &vec![POISON; items.len()])?;
            }
        }
        Ok(())
    }

    /// Makes the caches what they were before any step.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn renew_caches(&mut self, stream: &Stream) -> Result<(), CudaError> {
        for ([key, value], caches) in self.target.iter_mut().zip(&self.world.target) {
            key.upload(stream, 0, &caches.key)?;
            value.upload(stream, 0, &caches.value)?;
        }
        Ok(())
    }

    /// Submits the maps and the selection to `main`; with `side`, the target's map beside the draft's.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn choose(&self, main: &Stream, side: Option<&mut SideStream>, step: &Step) -> Result<(), CudaError> {
        let (verifier, stages) = (&self.verifier, self.verifier.plan().stages());
        let target = |stream: &Stream| {
            // SAFETY: the arrays have the shapes of the plan, and outlive the step; nothing else touches them meanwhile.
            let score = || unsafe { verifier.score_target(stream, &step.workspace, &step.buffers) };
            if stages.target_score.is_read() { score() } else { Ok(()) }
        };
        let draft = |stream: &Stream| {
            // SAFETY: as above.
            let score = || unsafe { verifier.score_draft(stream, &step.workspace, &step.buffers) };
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
        let stages = self.verifier.plan().stages();
        let strides = AttentionStrides::dense(&stages.attention);
        for (number, layer) in (0..).zip(&step.layers) {
            let copied = stages.append.query_heads > 0;
            let rows = AppendRows {
                key: layer.key.address(),
                value: layer.value.address(),
                query: if copied { layer.query.address() } else { 0 },
                query_copy: layer.query_copy.address(),
                strides: AppendStrides::dense(&stages.append),
                stable: number > 0,
            };
            // SAFETY: the arrays have the shapes of the plan, and outlive the step; nothing else touches them meanwhile; what is
            // launched right before is the selection, for the first layer, or a layer's attention.
            unsafe { self.verifier.append(stream, &step.workspace, number, &step.buffers, &rows)? };
            let own = |which: usize| AttentionRows {
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
            };
            // SAFETY: as above.
            unsafe {
                self.verifier.attention(stream, &step.workspace, number, &step.buffers, &own(0))?;
                self.verifier.full_attention(stream, &step.workspace, number, &step.buffers, &own(1))?;
            }
        }
        Ok(())
    }

    /// Submits the compaction.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn compact(&self, stream: &Stream, step: &Step) -> Result<(), CudaError> {
        // SAFETY: the arrays have the shapes of the plan, and outlive the step; nothing else touches them meanwhile.
        unsafe { self.verifier.compact(stream, &step.workspace, &step.buffers, &step.accepted) }
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
        self.compact(stream, step)?;
        self.outcome(stream, step, appended)
    }
}
