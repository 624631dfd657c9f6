//! The stages on a CPU, over arrays behind raw addresses.

use std::{
    ffi::c_void,
    ptr::with_exposed_provenance_mut,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dustin::{
    InvalidInput,
    attention::arrays::{AttentionStrides, OutputType},
    cpu::{
        AcceptedArrays, AppendRowArrays, AttentionRowArrays, CpuVerifier, DraftArrays, LseMut, OutputMut,
        SetArrays, StepArrays,
    },
    kv::PagedKv,
    select::arrays::SelectOutput,
    verifier::{
        AcceptedBuffers, AppendRows, AttentionRows, Captured, EngineMemory, Report, Sizes, Stages,
        VerifierProblem,
    },
};

use super::{
    OPERATION,
    step::{dustin_accepted, dustin_append_rows, dustin_attention_rows, dustin_step},
    workspace::Workspace,
};
use crate::{
    error::{Error, invalid},
    memory::{Item, asked, layer, layers, require_absent, slice, slice_mut},
};

/// A verifier on the CPU, with the memory of an engine.
pub(super) struct HostVerifier {
    // Steps take turns: they work in the back end's memory.
    verifier: Mutex<CpuVerifier>,
    problem: VerifierProblem,
    stages: Stages,
    sizes: Sizes,
    report: Report,
    memory: EngineMemory,
}

/// The turn of a stage.
pub(super) struct Turn<'a> {
    verifier: MutexGuard<'a, CpuVerifier>,
    workspace: &'a Workspace,
}

impl Turn<'_> {
    /// Runs the stage, and takes down in the step's own workspace what it found.
    pub(super) fn run(
        mut self,
        stage: impl FnOnce(&mut CpuVerifier) -> Result<(), InvalidInput>,
    ) -> Result<(), Error> {
        stage(&mut self.verifier)?;
        self.workspace.take_down(self.verifier.status());
        self.verifier.clear_status();
        Ok(())
    }
}

impl HostVerifier {
    /// # Errors
    /// Addresses that [`EngineMemory::validate`] refuses.
    pub(super) fn new(verifier: CpuVerifier, memory: EngineMemory) -> Result<Self, InvalidInput> {
        memory.validate(verifier.stages())?;
        Ok(Self {
            problem: verifier.problem().clone(),
            stages: verifier.stages().clone(),
            sizes: verifier.sizes(),
            report: verifier.report().clone(),
            verifier: Mutex::new(verifier),
            memory,
        })
    }

    pub(super) const fn problem(&self) -> &VerifierProblem {
        &self.problem
    }

    pub(super) const fn stages(&self) -> &Stages {
        &self.stages
    }

    pub(super) const fn report(&self) -> &Report {
        &self.report
    }

    pub(super) const fn memory(&self) -> &EngineMemory {
        &self.memory
    }

    /// Waits for the turn of a stage: before it looks at arrays, as steps that overlap may write different rows of one cache.
    pub(super) fn turn<'a>(&'a self, workspace: &'a Workspace) -> Turn<'a> {
        // After a panic it holds scratch memory alone, which stages write before they read it.
        Turn { verifier: self.verifier.lock().unwrap_or_else(PoisonError::into_inner), workspace }
    }

    /// # Safety
    /// As `dustin_verifier_score_target`, as for all stages.
    pub(super) unsafe fn score_target(&self, workspace: &Workspace, step: &dustin_step) -> Result<(), Error> {
        let (turn, memory) = (self.turn(workspace), &self.memory);
        // SAFETY: the caller's promise, here and in the other stages.
        unsafe {
            let step_arrays = self.step(step)?;
            let captured = &self.stages.target_captured;
            let (queries, keys) =
                read_captured(captured, memory.target_queries, &memory.target_keys, &self.problem.target.kv)?;
            let map = slice_mut(OPERATION, "target_map", step.target_map, self.sizes.target_map)?;
            turn.run(|verifier| verifier.score_target(&step_arrays, queries, &keys, map))
        }
    }

    /// # Safety
    /// As above.
    pub(super) unsafe fn score_draft(&self, workspace: &Workspace, step: &dustin_step) -> Result<(), Error> {
        let (memory, captured) = (&self.memory, &self.stages.draft_captured);
        let turn = self.turn(workspace);
        let model = self.problem.draft.map_or(self.problem.target, |draft| draft.model);
        // SAFETY: the caller's promise.
        unsafe {
            let step_arrays = self.step(step)?;
            let (queries, keys) =
                read_captured(captured, memory.draft_queries, &memory.draft_keys, &model.kv)?;
            let map = slice_mut(OPERATION, "draft_map", step.draft_map, self.sizes.draft_map)?;
            turn.run(|verifier| verifier.score_draft(&step_arrays, queries, &keys, map))
        }
    }

    /// # Safety
    /// As above.
    pub(super) unsafe fn select(&self, workspace: &Workspace, step: &dustin_step) -> Result<(), Error> {
        let turn = self.turn(workspace);
        let sizes = &self.sizes;
        require_absent(OPERATION, "physical", step.physical, sizes.physical > 0)?;
        // SAFETY: the caller's promise.
        unsafe {
            let step_arrays = self.step(step)?;
            let target =
                asked(OPERATION, "target_map", step.target_map, sizes.target_map > 0, sizes.target_map)?;
            let draft = asked(OPERATION, "draft_map", step.draft_map, sizes.draft_map > 0, sizes.draft_map)?;
            let physical = slice_mut(OPERATION, "physical", step.physical, sizes.physical)?;
            let output = SelectOutput {
                set: slice_mut(OPERATION, "set", step.set, sizes.set)?,
                physical: (sizes.physical > 0).then_some(physical),
                set_sizes: slice_mut(OPERATION, "set_sizes", step.set_sizes, sizes.set_sizes)?,
            };
            turn.run(|verifier| verifier.select(&step_arrays, target, draft, output))
        }
    }

    /// # Safety
    /// As above.
    pub(super) unsafe fn append(
        &self,
        workspace: &Workspace,
        layer_number: u32,
        step: &dustin_step,
        rows: &dustin_append_rows,
        AppendRows { strides, .. }: &AppendRows,
    ) -> Result<(), Error> {
        let turn = self.turn(workspace);
        let problem = &self.stages.append;
        let [key, value] = self.caches(layer_number)?;
        strides.validate(problem)?;
        let copied = problem.query_heads > 0;
        require_absent(OPERATION, "query", rows.query, copied)?;
        require_absent(OPERATION, "query_copy", rows.query_copy, copied)?;
        // SAFETY: the caller's promise.
        unsafe {
            let step_arrays = self.step(step)?;
            let arrays = AppendRowArrays {
                key: slice(OPERATION, "key", rows.key, strides.key_extent(problem))?,
                value: slice(OPERATION, "value", rows.value, strides.value_extent(problem))?,
                query: slice(OPERATION, "query", rows.query, strides.query_extent(problem))?,
                strides: *strides,
            };
            let copy =
                slice_mut(OPERATION, "query_copy", rows.query_copy, strides.query_copy_extent(problem))?;
            let mut caches = layer(OPERATION, key, value, &problem.step.kv)?;
            turn.run(|verifier| verifier.append(&step_arrays, &arrays, &mut caches, copy))
        }
    }

    /// Over all confirmed tokens if `full`, else over the sets.
    ///
    /// # Safety
    /// As above.
    pub(super) unsafe fn attend(
        &self,
        full: bool,
        workspace: &Workspace,
        layer_number: u32,
        step: &dustin_step,
        rows: &dustin_attention_rows,
        own: &AttentionRows,
    ) -> Result<(), Error> {
        let turn = self.turn(workspace);
        let (problem, sizes) = (&self.stages.attention, &self.sizes);
        let [key, value] = self.caches(layer_number)?;
        let AttentionRows { query_row, query_head, output_row, output_head, .. } = *own;
        let strides = AttentionStrides {
            query_row,
            query_head,
            output_row,
            output_head,
            table: step.table_strides(&self.problem)[0],
            ..AttentionStrides::dense(problem)
        };
        strides.validate(problem)?;
        require_absent(OPERATION, "lse", rows.lse, problem.lse)?;
        let (cache, items) = (problem.kv.extent(), strides.output_extent(problem));
        let lses =
            if problem.lse { u64::from(problem.total_rows) * u64::from(problem.query_heads) } else { 0 };
        // SAFETY: the caller's promise.
        unsafe {
            let step_arrays = self.step(step)?;
            let arrays = AttentionRowArrays {
                query: slice(OPERATION, "query", rows.query, strides.query_extent(problem))?,
                key: slice(OPERATION, "key", key, cache)?,
                value: slice(OPERATION, "value", value, cache)?,
                query_row,
                query_head,
                output_row,
                output_head,
            };
            let output = match own.output_type {
                OutputType::Rounded => {
                    OutputMut::Rounded(slice_mut(OPERATION, "output", rows.output, items)?)
                }
                OutputType::F32 => OutputMut::F32(slice_mut(OPERATION, "output", rows.output, items)?),
            };
            let lse = slice_mut(OPERATION, "lse", rows.lse, lses)?;
            let lse = problem.lse.then_some(LseMut { items: lse, base: own.lse_base });
            if full {
                return turn.run(|verifier| verifier.full_attention(&step_arrays, &arrays, output, lse));
            }
            let set = if sizes.physical > 0 { step.physical } else { step.set };
            let sets = SetArrays {
                set: slice(OPERATION, "set", set, sizes.set)?,
                set_sizes: slice(OPERATION, "set_sizes", step.set_sizes, sizes.set_sizes)?,
            };
            turn.run(|verifier| verifier.attention(&step_arrays, &sets, &arrays, output, lse))
        }
    }

    /// # Safety
    /// As above.
    pub(super) unsafe fn compact(
        &self,
        workspace: &Workspace,
        step: &dustin_step,
        accepted: &dustin_accepted,
        AcceptedBuffers { stride, .. }: &AcceptedBuffers,
    ) -> Result<(), Error> {
        let turn = self.turn(workspace);
        let problem = &self.stages.compaction;
        let batch = u64::from(problem.step.batch);
        let lists = (batch - 1).saturating_mul(*stride).saturating_add(problem.accepted.into());
        require_absent(OPERATION, "accepted.counts", accepted.counts, problem.counted)?;
        let counts = if problem.counted { batch } else { 0 };
        let all = |addresses: &[u64]| addresses.iter().map(|&own| host(own).cast_const()).collect::<Vec<_>>();
        let (keys, values) = (all(&self.memory.target_keys), all(&self.memory.target_values));
        // SAFETY: the caller's promise.
        unsafe {
            let step_arrays = self.step(step)?;
            let arrays = AcceptedArrays {
                rows: slice(OPERATION, "accepted.rows", accepted.rows, lists)?,
                stride: *stride,
                counts: slice(OPERATION, "accepted.counts", accepted.counts, counts)?,
            };
            let mut caches = layers(OPERATION, &keys, &values, &problem.step.kv)?;
            turn.run(|verifier| verifier.compact(&step_arrays, &arrays, &mut caches))
        }
    }

    /// The key and the value cache of a layer.
    fn caches(&self, number: u32) -> Result<[*mut c_void; 2], InvalidInput> {
        let memory = &self.memory;
        let own = memory.target_keys.get(number as usize).zip(memory.target_values.get(number as usize));
        let required = || format!("below {}", memory.target_keys.len());
        own.map(|(&key, &value)| [host(key), host(value)])
            .ok_or_else(|| invalid(OPERATION, "layer", required(), number))
    }

    /// A step's arrays. Those that are null are empty: the stage that reads one refuses it as too short.
    ///
    /// # Safety
    /// Those that are not null have the shapes of the problem.
    pub(super) unsafe fn step<'a>(&self, step: &dustin_step) -> Result<StepArrays<'a>, InvalidInput> {
        let [table_stride, draft_table_stride] = step.table_strides(&self.problem);
        let batch = u64::from(self.problem.limits.max_batch);
        let tables =
            |stride: u64, width: u32| (batch - 1).saturating_mul(stride).saturating_add(width.into());
        let table = tables(table_stride, self.problem.target_table_width());
        let draft_table = tables(draft_table_stride, self.problem.draft_table_width());
        // SAFETY: the caller's promise.
        unsafe {
            Ok(StepArrays {
                lengths: given("lengths", step.lengths, batch)?,
                row_starts: given("row_starts", step.row_starts, batch + 1)?,
                block_table: given("block_table", step.block_table, table)?,
                table_stride,
                map_starts: given("map_starts", step.map_starts, batch + 1)?,
                slots: given("slots", step.slots, batch)?,
                draft: DraftArrays {
                    lengths: given("draft_lengths", step.draft_lengths, batch)?,
                    block_table: given("draft_block_table", step.draft_block_table, draft_table)?,
                    table_stride: draft_table_stride,
                    slots: match step.draft_slots.is_null() {
                        true => None,
                        false => Some(slice(OPERATION, "draft_slots", step.draft_slots, batch)?),
                    },
                },
                masks: given("masks", step.masks, self.sizes.masks)?,
            })
        }
    }
}

/// An address of the engine's memory as a pointer.
pub(super) fn host(address: u64) -> *mut c_void {
    with_exposed_provenance_mut(address as usize)
}

/// # Safety
/// As [`slice`], unless the address is null.
unsafe fn given<'a, T: Item>(
    field: &'static str,
    pointer: *const c_void,
    items: u64,
) -> Result<&'a [T], InvalidInput> {
    // SAFETY: the caller's promise.
    if pointer.is_null() { Ok(&[]) } else { unsafe { slice(OPERATION, field, pointer, items) } }
}

/// Captured queries, and the keys of all layers; empty where a layer is not captured.
///
/// # Safety
/// The addresses are those of arrays of these shapes.
unsafe fn read_captured<'a>(
    captured: &Captured,
    queries: u64,
    keys: &[u64],
    kv: &PagedKv,
) -> Result<(&'a [u16], Vec<&'a [u16]>), InvalidInput> {
    // SAFETY: the caller's promise.
    let queries = unsafe { slice(OPERATION, "queries", host(queries), captured.items())? };
    let mut read: Vec<&[u16]> = vec![&[]; keys.len()];
    for own in &captured.layers {
        let layer = own.layer as usize;
        // SAFETY: as above; that there is such a layer was checked with the memory.
        read[layer] = unsafe { slice(OPERATION, "keys", host(keys[layer]), kv.extent())? };
    }
    Ok((queries, read))
}
