//! A whole step on the CPU, through the C ABI.

use std::ptr::null_mut;

use dustin::{
    attention::arrays::{AttentionStrides, LogBase, OutputType},
    cache::append::arrays::AppendStrides,
    select::{
        arrays::SelectStrides,
        compare::{Selected, UNWRITTEN},
    },
    verifier::{
        AcceptanceBuffers, AcceptedBuffers, AppendRows, AttentionRows, CaptureRows, DraftBuffers,
        EngineMemory, Sizes, StepBuffers,
    },
};
use dustin_c::{
    dustin_step, dustin_verifier_accept, dustin_verifier_append, dustin_verifier_attention,
    dustin_verifier_capture_target, dustin_verifier_compact, dustin_verifier_full_attention,
    dustin_verifier_score_draft, dustin_verifier_score_target, dustin_verifier_select,
};

use super::{
    Context, Verifier, VerifierSpace, acceptance_args, accepted, append_rows, attention_rows, capture_rows,
    check, host, host_mut, step,
};
use crate::verifier::{
    batch::Batch,
    outcome::{Attended, Outcome, POISON, Settled},
    proposals::Proposals,
    world::{Caches, NAN, World},
};

/// The addresses of a world's caches and captured queries.
fn memory(world: &World, caches: &mut [Caches], target_queries: &mut [u16]) -> EngineMemory {
    EngineMemory {
        target_keys: caches.iter_mut().map(|own| host_mut(&mut own.key)).collect(),
        target_values: caches.iter_mut().map(|own| host_mut(&mut own.value)).collect(),
        target_queries: host_mut(target_queries),
        draft_keys: world.draft_keys.iter().map(|own| host(own)).collect(),
        draft_queries: host(&world.draft_queries),
    }
}

/// The whole step of `batch` in `context`, which is one on the CPU.
///
/// # Errors
/// A call fails.
pub fn run_step(context: &Context, world: &World, batch: &Batch) -> Result<Outcome, String> {
    let (stages, sizes) = (&world.stages, Sizes::new(&world.stages));
    let mut caches = world.target.clone();
    let mut target_queries = world.target_queries.clone();
    let engine = memory(world, &mut caches, &mut target_queries);
    // SAFETY: the memory has the world's shapes, and lives as long as the verifier.
    let verifier = unsafe { Verifier::new(context, &world.problem, &engine)? };
    // SAFETY: a CPU has no streams.
    let space = unsafe { verifier.workspace(null_mut())? };
    let (own, work) = (verifier.handle(), space.handle());

    let mut target_map = vec![POISON; sizes.target_map as usize];
    let mut draft_map = vec![POISON; sizes.draft_map as usize];
    let mut selected = Selected::unwritten(&stages.selection, &SelectStrides::dense(&stages.selection));
    let arrays = step(&StepBuffers {
        lengths: host(&batch.lengths),
        row_starts: host(&batch.row_starts),
        block_table: host(&batch.block_table),
        table_stride: 0,
        map_starts: host(&batch.map_starts),
        slots: host(&batch.slots),
        draft: DraftBuffers {
            lengths: host(&batch.lengths),
            block_table: host(&batch.draft_table),
            table_stride: 0,
            slots: host(&batch.draft_slots),
        },
        target_map: host_mut(&mut target_map),
        draft_map: host_mut(&mut draft_map),
        set: host_mut(&mut selected.set),
        physical: selected.physical.as_mut().map_or(0, |items| host_mut(items)),
        set_sizes: host_mut(&mut selected.set_sizes),
        masks: host(&batch.masks),
    });
    // SAFETY: here and below, all arrays have the shapes of the world's problem.
    unsafe {
        if !target_map.is_empty() {
            check(dustin_verifier_score_target(own, work, &arrays, null_mut()))?;
        }
        if !draft_map.is_empty() {
            check(dustin_verifier_score_draft(own, work, &arrays, null_mut()))?;
        }
        check(dustin_verifier_select(own, work, &arrays, null_mut()))?;
    }

    let copied = stages.append.query_heads > 0;
    let strides = AttentionStrides::dense(&stages.attention);
    let (mut sparse, mut full) = (Vec::new(), Vec::new());
    for (layer, rows) in (0..).zip(&batch.rows) {
        let mut query_copy = vec![NAN; if copied { rows.query.len() } else { 0 }];
        let appended = append_rows(&AppendRows {
            key: host(&rows.key),
            value: host(&rows.value),
            query: if copied { host(&rows.query) } else { 0 },
            query_copy: host_mut(&mut query_copy),
            strides: AppendStrides::dense(&stages.append),
            stable: layer > 0,
        });
        // SAFETY: as above.
        check(unsafe { dustin_verifier_append(own, work, layer, &arrays, &appended, null_mut()) })?;
        let query = if copied { &query_copy } else { &rows.query };
        for (all, results) in [(false, &mut sparse), (true, &mut full)] {
            let mut output = vec![NAN; rows.query.len()];
            let lses = (stages.attention.total_rows * stages.attention.query_heads) as usize;
            let mut lse = stages.attention.lse.then(|| vec![POISON; lses]);
            let attended = attention_rows(&AttentionRows {
                query: host(query),
                query_row: strides.query_row,
                query_head: strides.query_head,
                output: host_mut(&mut output),
                output_row: strides.output_row,
                output_head: strides.output_head,
                output_type: OutputType::Rounded,
                lse: lse.as_mut().map_or(0, |items| host_mut(items)),
                lse_base: LogBase::E,
                stable: false,
            });
            let call = if all { dustin_verifier_full_attention } else { dustin_verifier_attention };
            // SAFETY: as above.
            check(unsafe { call(own, work, layer, &arrays, &attended, null_mut()) })?;
            results.push(Attended { output, lse });
        }
    }
    let appended = caches.clone();
    let mut settled = None;
    if let Some(proposals) = &batch.proposals {
        settled = Some(accept(&verifier, &space, world, &arrays, proposals)?);
    }
    let rows = accepted(&AcceptedBuffers {
        rows: host(settled.as_ref().map_or(&batch.accepted, |settled| &settled.path)),
        stride: 0,
        counts: if settled.is_some() { 0 } else { host(&batch.accepted_counts) },
    });
    // SAFETY: as above.
    check(unsafe { dustin_verifier_compact(own, work, &arrays, &rows, null_mut()) })?;
    if let Some(settled) = settled.as_mut().filter(|_| stages.target_score.is_read()) {
        capture(&verifier, &space, world, batch, settled)?;
        settled.target_queries.copy_from_slice(&target_queries);
    }
    // SAFETY: a CPU has no streams.
    let status = unsafe { space.status(null_mut())? };
    let compacted = caches;
    Ok(Outcome { target_map, draft_map, selected, sparse, full, appended, compacted, settled, status })
}

/// Accepts the drafts of `proposals`.
fn accept(
    verifier: &Verifier,
    space: &VerifierSpace,
    world: &World,
    step: &dustin_step,
    proposals: &Proposals,
) -> Result<Settled, String> {
    let unwritten = |items: u64| vec![UNWRITTEN; items as usize];
    let (sizes, batch) = (Sizes::new(&world.stages), world.problem.limits.max_batch.into());
    let mut settled = Settled {
        accepted: unwritten(batch),
        emitted: unwritten(sizes.emitted),
        path: unwritten(sizes.accepted),
        last_rows: unwritten(batch),
        new_lengths: unwritten(batch),
        target_queries: world.target_queries.clone(),
    };
    let first = proposals.arrays().step;
    let mut count = [first];
    let optional = |items: &Option<Vec<i32>>| items.as_ref().map_or(0, |items| host(items));
    let args = acceptance_args(&AcceptanceBuffers {
        target: host(&proposals.target),
        draft: host(&proposals.draft),
        draft_rows: optional(&proposals.draft_rows),
        tokens: host(&proposals.tokens),
        parents: optional(&proposals.parents),
        temperatures: host(&proposals.temperatures),
        seeds: host(&proposals.seeds),
        step: host_mut(&mut count),
        accepted: host_mut(&mut settled.accepted),
        emitted: host_mut(&mut settled.emitted),
        path: host_mut(&mut settled.path),
        last_rows: host_mut(&mut settled.last_rows),
        new_lengths: host_mut(&mut settled.new_lengths),
        strides: proposals.strides,
    });
    // SAFETY: all arrays have the shapes of the world's problem.
    check(unsafe { dustin_verifier_accept(verifier.handle(), space.handle(), step, &args, null_mut()) })?;
    if count != [first + 1] {
        Err(format!("{count:?} steps are counted behind {first}"))
    } else {
        Ok(settled)
    }
}

/// Captures the queries of the last accepted rows, layer by layer.
fn capture(
    verifier: &Verifier,
    space: &VerifierSpace,
    world: &World,
    batch: &Batch,
    settled: &Settled,
) -> Result<(), String> {
    let slots = world.capture_slots(batch);
    for (layer, rows) in (0..).zip(&batch.rows) {
        let rows = capture_rows(&CaptureRows {
            query: host(&rows.query),
            query_row: 0,
            query_head: 0,
            total_rows: world.stages.attention.total_rows,
            row_starts: host(&batch.row_starts),
            rows: host(&settled.last_rows),
            slots: host(&slots),
        });
        // SAFETY: as above.
        check(unsafe {
            dustin_verifier_capture_target(verifier.handle(), space.handle(), layer, &rows, null_mut())
        })?;
    }
    Ok(())
}
