//! What follows a step's attention, and the captures that the next one's maps come from.

use super::{AcceptanceArrays, AcceptedArrays, CaptureRowArrays, CpuVerifier, OPERATION, StepArrays};
use crate::{
    accept::arrays::{AcceptArrays, AcceptOutput},
    cache::{
        capture::{arrays::CaptureArrays, problem::CaptureProblem},
        compact::arrays::CompactArrays,
        layer::LayerMut,
    },
    error::{InvalidInput, require_items},
    verifier::{Stage, role::Role, stages::unaccepted},
};

impl CpuVerifier {
    /// Finds which drafts each sequence keeps, its next token, and its length behind the step. What it writes is what
    /// [`compact`](Self::compact) and [`capture_target`](Self::capture_target) read. The caller counts the steps.
    ///
    /// # Errors
    /// The engine accepts drafts itself; a stride is not as documented, or an array is missing, not asked for or too short.
    pub fn accept(
        &mut self,
        step: &StepArrays<'_>,
        arrays: &AcceptanceArrays<'_>,
        output: AcceptOutput<'_>,
    ) -> Result<(), InvalidInput> {
        let problem = self.stages.acceptance.as_ref().ok_or_else(unaccepted)?;
        let arrays = AcceptArrays {
            target: arrays.target,
            draft: arrays.draft,
            draft_rows: arrays.draft_rows,
            tokens: arrays.tokens,
            parents: arrays.parents,
            row_starts: step.row_starts,
            temperatures: arrays.temperatures,
            seeds: arrays.seeds,
            step: arrays.step,
            lengths: Some(step.lengths),
            strides: arrays.strides,
        };
        let word = self.backend.accept(problem, &arrays, output)?;
        self.found(Stage::Acceptance, word);
        Ok(())
    }

    /// Moves the accepted rows up behind the confirmed tokens in all `layers` of the target. A chain's rows are there already:
    /// that is for trees.
    ///
    /// # Errors
    /// A stride is not as documented, an array too short, or there are other than the target's layers.
    pub fn compact(
        &mut self,
        step: &StepArrays<'_>,
        accepted: &AcceptedArrays<'_>,
        layers: &mut [LayerMut<'_>],
    ) -> Result<(), InvalidInput> {
        let counted = self.stages.compaction.counted || !accepted.counts.is_empty();
        let arrays = CompactArrays {
            step: step.rows(),
            accepted: accepted.rows,
            accepted_stride: accepted.stride,
            counts: counted.then_some(accepted.counts),
        };
        let word = self.backend.compact(&self.stages.compaction, &arrays, layers)?;
        self.found(Stage::Compaction, word);
        Ok(())
    }

    /// Captures the queries of `layer` that the target's map comes from in the next step, in `queries`: behind acceptance of each
    /// sequence's last accepted row, behind a prompt of its last. A layer none of whose heads are captured on this rank is left alone.
    ///
    /// # Errors
    /// No set depends on the map; the target has no such layer; a stride is not as documented, or an array too short.
    pub fn capture_target(
        &mut self,
        layer: u32,
        rows: &CaptureRowArrays<'_>,
        queries: &mut [u16],
    ) -> Result<(), InvalidInput> {
        self.capture(Role::Target, layer, 0, rows, queries)
    }

    /// Captures the queries of `layer` of the draft's forward `token`, from 0 to γ - 1, likewise of each sequence's last row unless
    /// `rows` names others.
    ///
    /// # Errors
    /// As [`capture_target`](Self::capture_target); there is no such forward.
    pub fn capture_draft(
        &mut self,
        layer: u32,
        token: u32,
        rows: &CaptureRowArrays<'_>,
        queries: &mut [u16],
    ) -> Result<(), InvalidInput> {
        self.capture(Role::Draft, layer, token, rows, queries)
    }

    fn capture(
        &mut self,
        role: Role,
        layer: u32,
        token: u32,
        rows: &CaptureRowArrays<'_>,
        queries: &mut [u16],
    ) -> Result<(), InvalidInput> {
        let Self { backend, problem, stages, .. } = self;
        let Some(place) = stages.capture_of(role, problem, layer)? else { return Ok(()) };
        let captured = stages.captured(role);
        require_items(OPERATION, "queries", queries.len(), captured.items())?;
        let arrays = CaptureArrays {
            query: rows.query,
            row_starts: rows.row_starts,
            rows: rows.rows,
            slots: rows.slots,
            token,
            strides: captured.capture_strides(rows.query_row, rows.query_head),
        };
        let problem = CaptureProblem { total_rows: rows.total_rows, ..stages.captures(role)[place].clone() };
        let of_layer = &mut queries[captured.offset(&captured.layers[place]) as usize..];
        let word = backend.capture(&problem, &arrays, of_layer)?;
        self.found(role.capture(), word);
        Ok(())
    }
}
