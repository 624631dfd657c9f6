//! One step's arrays.

use dustin::{
    cuda::{CudaError, DeviceBuffer, Stream, VerifierWorkspace},
    select::compare::UNWRITTEN,
    verifier::{AcceptedBuffers, DraftBuffers, Sizes, StepBuffers},
};

use super::{Engine, settle::Settling};
use crate::verifier::{batch::Batch, outcome::POISON, world::NAN};

/// One step's arrays in device memory. Steps that read the same engine's caches append to them, so that at a time there is one.
#[derive(Debug)]
pub struct Step {
    pub(super) buffers: StepBuffers,
    pub(super) accepted: AcceptedBuffers,
    pub(super) layers: Vec<Layer>,
    pub(super) forwards: Vec<Queries>,
    /// First rows of the draft's forwards.
    pub(super) forward_starts: u64,
    /// What acceptance reads and writes, if the verifier accepts.
    pub(super) settling: Option<Settling>,
    /// The workspace, which held poison.
    pub workspace: VerifierWorkspace,
    pub(super) maps: [DeviceBuffer<f32>; 2],
    pub(super) set: DeviceBuffer<i32>,
    pub(super) physical: DeviceBuffer<i32>,
    pub(super) set_sizes: DeviceBuffer<i32>,
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
pub(super) struct Layer {
    pub(super) key: DeviceBuffer<u16>,
    pub(super) value: DeviceBuffer<u16>,
    pub(super) query: DeviceBuffer<u16>,
    pub(super) query_copy: DeviceBuffer<u16>,
    pub(super) output: [DeviceBuffer<u16>; 2],
    pub(super) lse: [DeviceBuffer<f32>; 2],
}

/// The queries of a layer in a forward of the draft.
#[derive(Debug)]
pub(super) struct Queries {
    pub(super) layer: u32,
    pub(super) token: u32,
    pub(super) query: DeviceBuffer<u16>,
}

/// The index arrays of a batch.
fn indices(batch: &Batch) -> [&[i32]; 10] {
    [
        &batch.forward_starts,
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
        let [forward_starts, of_step @ ..] =
            std::array::from_fn::<_, 10, _>(|index| indices[index].address());
        let [lengths, row_starts, block_table, map_starts, slots, draft_table, draft_slots, rows, counts] =
            of_step;
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
        let forwards = batch.forwards.iter().map(|own| {
            let query = halves(&own.query)?;
            Ok::<_, CudaError>(Queries { layer: own.layer, token: own.token, query })
        });
        let forwards = forwards.collect::<Result<_, _>>()?;
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
            forwards,
            forward_starts,
            settling: self.settling(stream, batch)?,
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
        for (queries, forward) in step.forwards.iter_mut().zip(&batch.forwards) {
            queries.query.upload(stream, 0, &forward.query)?;
        }
        self.renew_caches(stream)?;
        if let (Some(settling), Some(proposals)) = (&mut step.settling, &batch.proposals) {
            settling.renew(stream, proposals, &self.world.capture_slots(batch))?;
        }
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
}
