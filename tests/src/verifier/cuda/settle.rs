//! Acceptance and what follows it on the GPU.

use dustin::{
    attention::arrays::AttentionStrides,
    cuda::{CudaError, DeviceBuffer, Stream},
    select::compare::UNWRITTEN,
    verifier::{AcceptanceBuffers, CaptureRows, Sizes},
};

use super::{Engine, Step, step::Layer};
use crate::verifier::{batch::Batch, outcome::Settled, proposals::Proposals};

/// What acceptance reads and writes, in device memory.
#[derive(Debug)]
pub(super) struct Settling {
    pub(super) buffers: AcceptanceBuffers,
    /// The slots that queries are captured in.
    slots: DeviceBuffer<i32>,
    /// Accepted drafts, emitted tokens, paths, last rows, new lengths.
    written: [DeviceBuffer<i32>; 5],
    /// Logits of the target and of the draft, temperatures.
    scores: [DeviceBuffer<f32>; 3],
    /// Tokens, rows of the draft's scores, parents.
    indices: [DeviceBuffer<i32>; 3],
    /// Seeds, and the number of steps.
    counters: [DeviceBuffer<u64>; 2],
}

impl Settling {
    fn new(stream: &Stream, proposals: &Proposals, slots: &[i32], sizes: &Sizes) -> Result<Self, CudaError> {
        let put = |items: &[i32]| DeviceBuffer::of(stream, items);
        let optional = |items: &Option<Vec<i32>>| put(items.as_deref().unwrap_or_default());
        let scores = [&proposals.target, &proposals.draft, &proposals.temperatures];
        let [target, draft, temperatures] = scores.map(|items| DeviceBuffer::of(stream, items));
        let scores = [target?, draft?, temperatures?];
        let indices =
            [put(&proposals.tokens)?, optional(&proposals.draft_rows)?, optional(&proposals.parents)?];
        let counters = [DeviceBuffer::of(stream, &proposals.seeds)?, DeviceBuffer::of(stream, &[0])?];
        let batch = sizes.set_sizes;
        let unwritten = |items: u64| put(&vec![UNWRITTEN; items as usize]);
        let written = [
            unwritten(batch)?,
            unwritten(sizes.emitted)?,
            unwritten(sizes.accepted)?,
            unwritten(batch)?,
            unwritten(batch)?,
        ];
        let [accepted, emitted, path, last_rows, new_lengths] =
            std::array::from_fn(|index| written[index].address());
        let buffers = AcceptanceBuffers {
            target: scores[0].address(),
            draft: scores[1].address(),
            draft_rows: indices[1].address(),
            tokens: indices[0].address(),
            parents: indices[2].address(),
            temperatures: scores[2].address(),
            seeds: counters[0].address(),
            step: counters[1].address(),
            accepted,
            emitted,
            path,
            last_rows,
            new_lengths,
            strides: proposals.strides,
        };
        Ok(Self { buffers, slots: put(slots)?, written, scores, indices, counters })
    }
}

impl Settling {
    /// Puts other proposals into the arrays, and makes what is written what it was before.
    pub(super) fn renew(
        &mut self,
        stream: &Stream,
        proposals: &Proposals,
        slots: &[i32],
    ) -> Result<(), CudaError> {
        let scores = [&proposals.target, &proposals.draft, &proposals.temperatures];
        for (buffer, items) in self.scores.iter_mut().zip(scores) {
            buffer.upload(stream, 0, items)?;
        }
        let [tokens, draft_rows, parents] = &mut self.indices;
        tokens.upload(stream, 0, &proposals.tokens)?;
        for (buffer, items) in [(draft_rows, &proposals.draft_rows), (parents, &proposals.parents)] {
            buffer.upload(stream, 0, items.as_deref().unwrap_or_default())?;
        }
        self.counters[0].upload(stream, 0, &proposals.seeds)?;
        self.counters[1].upload(stream, 0, &[0])?;
        self.slots.upload(stream, 0, slots)?;
        for items in &mut self.written {
            items.upload(stream, 0, &vec![UNWRITTEN; items.len()])?;
        }
        Ok(())
    }
}

impl Engine {
    /// Puts what acceptance reads of `batch` into device memory, if the verifier accepts.
    pub(super) fn settling(&self, stream: &Stream, batch: &Batch) -> Result<Option<Settling>, CudaError> {
        let slots = self.world.capture_slots(batch);
        let sizes = self.verifier.plan().sizes();
        let new = |proposals| Settling::new(stream, proposals, &slots, &sizes);
        batch.proposals.as_ref().map(new).transpose()
    }

    /// Submits what follows the layers: acceptance, compaction, and the captures that the next step starts from; of an engine that
    /// accepts itself the compaction alone.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn settle(&self, stream: &Stream, step: &Step) -> Result<(), CudaError> {
        let own = self.addresses(step);
        let accepted = own.acceptance.map_or(own.accepted, |own| own.accepted());
        // SAFETY: the arrays have the shapes of the plan, and outlive the step; nothing else touches them meanwhile.
        unsafe {
            if let Some(acceptance) = &own.acceptance {
                self.verifier.accept(stream, &step.workspace, &own.step, acceptance)?;
            }
            self.verifier.compact(stream, &step.workspace, &own.step, &accepted)?;
            for (number, rows) in (0..).zip(&own.captures) {
                self.verifier.capture_target(stream, &step.workspace, number, rows)?;
            }
        }
        Ok(())
    }

    /// What the layers capture from behind an acceptance, if the target's map is read.
    pub(super) fn captures(&self, step: &Step) -> Vec<CaptureRows> {
        let stages = self.verifier.plan().stages();
        let strides = AttentionStrides::dense(&stages.attention);
        let Some(own) = step.settling.as_ref().filter(|_| stages.target_score.is_read()) else {
            return Vec::new();
        };
        let rows = |layer: &Layer| CaptureRows {
            query: layer.query.address(),
            query_row: strides.query_row,
            query_head: strides.query_head,
            total_rows: stages.attention.total_rows,
            row_starts: step.buffers.row_starts,
            rows: own.buffers.last_rows,
            slots: own.slots.address(),
        };
        step.layers.iter().map(rows).collect()
    }

    /// What the acceptance and the captures of `step` wrote.
    pub(super) fn settled(&self, stream: &Stream, step: &Step) -> Result<Option<Settled>, CudaError> {
        let Some(own) = &step.settling else { return Ok(None) };
        let [accepted, emitted, path, last_rows, new_lengths] =
            own.written.each_ref().map(|items| items.download(stream));
        Ok(Some(Settled {
            accepted: accepted?,
            emitted: emitted?,
            path: path?,
            last_rows: last_rows?,
            new_lengths: new_lengths?,
            target_queries: self.queries[0].download(stream)?,
        }))
    }
}
