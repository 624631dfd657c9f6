//! A whole step on the CPU, through the C ABI.

use std::ptr::null_mut;

use dustin::{
    attention::arrays::{AttentionStrides, LogBase, OutputType},
    cache::append::arrays::AppendStrides,
    select::{arrays::SelectStrides, compare::Selected},
    verifier::{AcceptedBuffers, AppendRows, AttentionRows, DraftBuffers, EngineMemory, Sizes, StepBuffers},
};
use dustin_c::{
    dustin_verifier_append, dustin_verifier_attention, dustin_verifier_compact,
    dustin_verifier_full_attention, dustin_verifier_score_draft, dustin_verifier_score_target,
    dustin_verifier_select,
};

use super::{Context, Verifier, accepted, append_rows, attention_rows, check, host, host_mut, step};
use crate::verifier::{
    batch::Batch,
    outcome::{Attended, Outcome, POISON},
    world::{Caches, NAN, World},
};

/// The addresses of a world's caches and captured queries.
fn memory(world: &World, caches: &mut [Caches]) -> EngineMemory {
    EngineMemory {
        target_keys: caches.iter_mut().map(|own| host_mut(&mut own.key)).collect(),
        target_values: caches.iter_mut().map(|own| host_mut(&mut own.value)).collect(),
        target_queries: host(&world.target_queries),
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
    let engine = memory(world, &mut caches);
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
    let rows = accepted(&AcceptedBuffers {
        rows: host(&batch.accepted),
        stride: 0,
        counts: host(&batch.accepted_counts),
    });
    // SAFETY: as above.
    let status = unsafe {
        check(dustin_verifier_compact(own, work, &arrays, &rows, null_mut()))?;
        space.status(null_mut())?
    };
    Ok(Outcome { target_map, draft_map, selected, sparse, full, appended, compacted: caches, status })
}
