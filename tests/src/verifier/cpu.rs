//! A step on the CPU.

use dustin::{
    accept::arrays::AcceptOutput,
    attention::arrays::{AttentionStrides, LogBase},
    cache::{append::arrays::AppendStrides, layer::LayerMut},
    cpu::{
        AcceptedArrays, AppendRowArrays, AttentionRowArrays, CaptureRowArrays, CpuBackend, CpuVerifier,
        DraftArrays, LseMut, OutputMut, SetArrays, StepArrays,
    },
    profile::{CpuCatalogue, DeviceId, Tuned},
    select::{
        arrays::{SelectOutput, SelectStrides},
        compare::{Selected, UNWRITTEN},
    },
    verifier::VerifierProblem,
};

use super::{
    batch::Batch,
    outcome::{Attended, Outcome, POISON, Settled},
    proposals::Proposals,
    world::{Caches, NAN, World},
};
use crate::gpu::text;

/// A verifier without a profile.
///
/// # Errors
/// The problem is not valid, or there are no threads.
pub fn verifier(problem: &VerifierProblem, threads: u32) -> Result<CpuVerifier, String> {
    let backend = CpuBackend::new(threads).map_err(text)?;
    let tuned = Tuned::new([], CpuCatalogue { limits: backend.limits() });
    CpuVerifier::new(backend, problem, &tuned, &DeviceId::cpu("any")).map_err(text)
}

/// The arrays of `batch` that do not depend on the layer.
#[must_use]
pub fn step<'a>(world: &World, batch: &'a Batch) -> StepArrays<'a> {
    StepArrays {
        lengths: &batch.lengths,
        row_starts: &batch.row_starts,
        block_table: &batch.block_table,
        table_stride: world.problem.target_table_width().into(),
        map_starts: &batch.map_starts,
        slots: &batch.slots,
        draft: DraftArrays {
            lengths: &batch.lengths,
            block_table: &batch.draft_table,
            table_stride: world.problem.draft_table_width().into(),
            slots: Some(&batch.draft_slots),
        },
        masks: &batch.masks,
    }
}

/// The maps of `batch`, the target's and the draft's, before any collective.
///
/// # Errors
/// A stage refuses the arrays.
pub fn maps(verifier: &mut CpuVerifier, world: &World, batch: &Batch) -> Result<[Vec<f32>; 2], String> {
    let (sizes, step) = (verifier.sizes(), step(world, batch));
    let mut maps = [vec![POISON; sizes.target_map as usize], vec![POISON; sizes.draft_map as usize]];
    if sizes.target_map > 0 {
        let keys: Vec<&[u16]> = world.target.iter().map(|caches| &caches.key[..]).collect();
        verifier.score_target(&step, &world.target_queries, &keys, &mut maps[0]).map_err(text)?;
    }
    if sizes.draft_map > 0 {
        let keys: Vec<&[u16]> = world.draft_keys.iter().map(Vec::as_slice).collect();
        let queries = capture_draft(verifier, world, batch)?;
        verifier.score_draft(&step, &queries, &keys, &mut maps[1]).map_err(text)?;
    }
    Ok(maps)
}

/// The whole step of `batch`.
///
/// # Errors
/// A stage refuses the arrays.
pub fn run(verifier: &mut CpuVerifier, world: &World, batch: &Batch) -> Result<Outcome, String> {
    let maps = maps(verifier, world, batch)?;
    from_maps(verifier, world, batch, maps)
}

/// What follows the maps.
///
/// # Errors
/// A stage refuses the arrays.
pub fn from_maps(
    verifier: &mut CpuVerifier,
    world: &World,
    batch: &Batch,
    [target_map, draft_map]: [Vec<f32>; 2],
) -> Result<Outcome, String> {
    let (sizes, step, stages) = (verifier.sizes(), step(world, batch), world.stages.clone());
    let mut selected = Selected::unwritten(&stages.selection, &SelectStrides::dense(&stages.selection));
    let output = SelectOutput {
        set: &mut selected.set,
        physical: selected.physical.as_deref_mut(),
        set_sizes: &mut selected.set_sizes,
    };
    let given = |map: &'_ [f32]| !map.is_empty();
    let target = given(&target_map).then_some(&target_map[..]);
    let draft = given(&draft_map).then_some(&draft_map[..]);
    verifier.select(&step, target, draft, output).map_err(text)?;
    assert_eq!(selected.set.len() as u64, sizes.set, "what is asked for is what is used");

    let mut appended = world.target.clone();
    let set = selected.physical.as_deref().unwrap_or(&selected.set);
    let sets = SetArrays { set, set_sizes: &selected.set_sizes };
    let (mut sparse, mut full) = (Vec::new(), Vec::new());
    for (caches, rows) in appended.iter_mut().zip(&batch.rows) {
        let copied = stages.append.query_heads > 0;
        let mut query_copy = vec![NAN; if copied { rows.query.len() } else { 0 }];
        let own = AppendRowArrays {
            key: &rows.key,
            value: &rows.value,
            query: if copied { &rows.query } else { &[] },
            strides: AppendStrides::dense(&stages.append),
        };
        let mut layer = LayerMut::Separate { key: &mut caches.key, value: &mut caches.value };
        verifier.append(&step, &own, &mut layer, &mut query_copy).map_err(text)?;
        let strides = AttentionStrides::dense(&stages.attention);
        let own = AttentionRowArrays {
            query: if copied { &query_copy } else { &rows.query },
            key: &caches.key,
            value: &caches.value,
            query_row: strides.query_row,
            query_head: strides.query_head,
            output_row: strides.output_row,
            output_head: strides.output_head,
        };
        let problem = &stages.attention;
        let lses = (problem.total_rows * problem.query_heads) as usize;
        for all in [false, true] {
            let mut output = vec![NAN; rows.query.len()];
            let mut lse = problem.lse.then(|| vec![POISON; lses]);
            let items = OutputMut::Rounded(&mut output);
            let lse_mut = lse.as_mut().map(|items| LseMut { items, base: LogBase::E });
            if all {
                verifier.full_attention(&step, &own, items, lse_mut).map_err(text)?;
            } else {
                verifier.attention(&step, &sets, &own, items, lse_mut).map_err(text)?;
            }
            if all { &mut full } else { &mut sparse }.push(Attended { output, lse });
        }
    }
    let mut settled = None;
    if let Some(proposals) = &batch.proposals {
        settled = Some(accept(verifier, world, &step, proposals)?);
    }
    let mut compacted = appended.clone();
    let mut layers: Vec<LayerMut<'_>> =
        compacted.iter_mut().map(|Caches { key, value }| LayerMut::Separate { key, value }).collect();
    let accepted = AcceptedArrays {
        rows: settled.as_ref().map_or(&batch.accepted, |settled| &settled.path),
        stride: stages.compaction.accepted.into(),
        counts: if settled.is_some() { &[] } else { &batch.accepted_counts },
    };
    verifier.compact(&step, &accepted, &mut layers).map_err(text)?;
    drop(layers);
    if let Some(settled) = settled.as_mut().filter(|_| stages.target_score.is_read()) {
        capture(verifier, world, batch, settled)?;
    }
    Ok(Outcome {
        target_map,
        draft_map,
        selected,
        sparse,
        full,
        appended,
        compacted,
        settled,
        status: verifier.status(),
    })
}

/// Captures the queries of the draft's forwards.
fn capture_draft(verifier: &mut CpuVerifier, world: &World, batch: &Batch) -> Result<Vec<u16>, String> {
    let mut queries = vec![NAN; world.draft_queries.len()];
    let draft = world.problem.draft.ok_or("no draft model")?.model;
    let (heads, dim) = (u64::from(draft.share.local().query_heads), u64::from(draft.kv.head_dim));
    for forward in &batch.forwards {
        let rows = CaptureRowArrays {
            query: &forward.query,
            query_row: heads * dim,
            query_head: dim,
            total_rows: world.problem.limits.max_batch,
            row_starts: &batch.forward_starts,
            rows: None,
            slots: Some(&batch.draft_slots),
        };
        verifier.capture_draft(forward.layer, forward.token, &rows, &mut queries).map_err(text)?;
    }
    Ok(queries)
}

/// Accepts the drafts of `proposals`.
fn accept(
    verifier: &mut CpuVerifier,
    world: &World,
    step: &StepArrays<'_>,
    proposals: &Proposals,
) -> Result<Settled, String> {
    let unwritten = |items: u64| vec![UNWRITTEN; items as usize];
    let (sizes, batch) = (verifier.sizes(), world.problem.limits.max_batch.into());
    let mut settled = Settled {
        accepted: unwritten(batch),
        emitted: unwritten(sizes.emitted),
        path: unwritten(sizes.accepted),
        last_rows: unwritten(batch),
        new_lengths: unwritten(batch),
        target_queries: world.target_queries.clone(),
    };
    let output = AcceptOutput {
        accepted: &mut settled.accepted,
        emitted: &mut settled.emitted,
        path: &mut settled.path,
        last_rows: &mut settled.last_rows,
        new_lengths: Some(&mut settled.new_lengths),
    };
    verifier.accept(step, &proposals.arrays(), output).map_err(text)?;
    Ok(settled)
}

/// Captures the queries of the last accepted rows, layer by layer: those that have none to capture are left alone.
fn capture(
    verifier: &mut CpuVerifier,
    world: &World,
    batch: &Batch,
    settled: &mut Settled,
) -> Result<(), String> {
    let strides = AttentionStrides::dense(&world.stages.attention);
    let slots = world.capture_slots(batch);
    for (layer, rows) in (0..).zip(&batch.rows) {
        let rows = CaptureRowArrays {
            query: &rows.query,
            query_row: strides.query_row,
            query_head: strides.query_head,
            total_rows: world.stages.attention.total_rows,
            row_starts: &batch.row_starts,
            rows: Some(&settled.last_rows),
            slots: Some(&slots),
        };
        verifier.capture_target(layer, &rows, &mut settled.target_queries).map_err(text)?;
    }
    Ok(())
}
