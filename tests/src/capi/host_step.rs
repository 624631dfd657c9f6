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
        EngineMemory, Sizes, Stage, StepBuffers,
    },
};
use dustin_kernels::fault::Fault;

use super::{CStep, Context, Verifier, VerifierSpace, host, host_mut};
use crate::verifier::{
    addresses::{Addresses, LayerAddresses},
    batch::Batch,
    outcome::{Attended, Outcome, POISON, Settled},
    proposals::Proposals,
    world::{Caches, NAN, World},
};

/// What an engine holds in host memory: caches and captured queries, those of the draft not captured yet.
#[derive(Debug)]
pub struct HostEngine {
    caches: Vec<Caches>,
    target_queries: Vec<u16>,
    draft_queries: Vec<u16>,
    addresses: EngineMemory,
}

impl HostEngine {
    /// That of `world` before a step.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let mut caches = world.target.clone();
        let mut target_queries = world.target_queries.clone();
        let mut draft_queries = vec![NAN; world.draft_queries.len()];
        let addresses = EngineMemory {
            target_keys: caches.iter_mut().map(|own| host_mut(&mut own.key)).collect(),
            target_values: caches.iter_mut().map(|own| host_mut(&mut own.value)).collect(),
            target_queries: host_mut(&mut target_queries),
            draft_keys: world.draft_keys.iter().map(|own| host(own)).collect(),
            draft_queries: host_mut(&mut draft_queries),
        };
        Self { caches, target_queries, draft_queries, addresses }
    }

    /// Its addresses.
    #[must_use]
    pub const fn memory(&self) -> &EngineMemory {
        &self.addresses
    }

    /// The target's caches as they are.
    #[must_use]
    pub fn caches(&self) -> &[Caches] {
        &self.caches
    }

    /// The target's captured queries as they are.
    #[must_use]
    pub fn target_queries(&self) -> &[u16] {
        &self.target_queries
    }

    /// The draft's captured queries as they are.
    #[must_use]
    pub fn draft_queries(&self) -> &[u16] {
        &self.draft_queries
    }
}

/// A step's arrays in host memory.
#[derive(Debug)]
pub struct HostStep<'a> {
    world: &'a World,
    batch: &'a Batch,
    slots: Vec<i32>,
    maps: [Vec<f32>; 2],
    selected: Selected,
    query_copies: Vec<Vec<u16>>,
    sparse: Vec<Attended>,
    full: Vec<Attended>,
    count: [u64; 1],
    settled: Option<Settled>,
}

impl<'a> HostStep<'a> {
    /// Those of `batch`, nothing written yet.
    #[must_use]
    pub fn new(world: &'a World, batch: &'a Batch) -> Self {
        let (stages, sizes) = (&world.stages, Sizes::new(&world.stages));
        let copied = stages.append.query_heads > 0;
        let lses = (stages.attention.total_rows * stages.attention.query_heads) as usize;
        let attended = || -> Vec<Attended> {
            let layer = |rows: &crate::verifier::world::Rows| Attended {
                output: vec![NAN; rows.query.len()],
                lse: stages.attention.lse.then(|| vec![POISON; lses]),
            };
            batch.rows.iter().map(layer).collect()
        };
        let unwritten = |items: u64| vec![UNWRITTEN; items as usize];
        let sequences = world.problem.limits.max_batch.into();
        Self {
            world,
            batch,
            slots: world.capture_slots(batch),
            maps: [sizes.target_map, sizes.draft_map].map(|items| vec![POISON; items as usize]),
            selected: Selected::unwritten(&stages.selection, &SelectStrides::dense(&stages.selection)),
            query_copies: batch
                .rows
                .iter()
                .map(|rows| vec![NAN; if copied { rows.query.len() } else { 0 }])
                .collect(),
            sparse: attended(),
            full: attended(),
            count: [batch.proposals.as_ref().map_or(0, |own| own.arrays().step)],
            settled: batch.proposals.as_ref().map(|_| Settled {
                accepted: unwritten(sequences),
                emitted: unwritten(sizes.emitted),
                path: unwritten(sizes.accepted),
                last_rows: unwritten(sequences),
                new_lengths: unwritten(sequences),
                target_queries: Vec::new(),
            }),
        }
    }

    /// The addresses of the arrays; strides of 0 where those without gaps are meant.
    pub fn addresses(&mut self) -> Addresses {
        let Self { world, batch, slots, maps: [target_map, draft_map], selected, .. } = self;
        let (stages, strides) = (&world.stages, AttentionStrides::dense(&world.stages.attention));
        let rows_of = |query: &[u16], total_rows: u32, row_starts: &[i32], rows: u64, slots: &[i32]| {
            let (row_starts, slots) = (host(row_starts), host(slots));
            CaptureRows {
                query: host(query),
                query_row: 0,
                query_head: 0,
                total_rows,
                row_starts,
                rows,
                slots,
            }
        };
        let forward = |own: &crate::verifier::forwards::Forward| {
            let total_rows = world.problem.limits.max_batch;
            let rows = rows_of(&own.query, total_rows, &batch.forward_starts, 0, &batch.draft_slots);
            (own.layer, own.token, rows)
        };
        let step = StepBuffers {
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
            target_map: host_mut(target_map),
            draft_map: host_mut(draft_map),
            set: host_mut(&mut selected.set),
            physical: selected.physical.as_mut().map_or(0, |items| host_mut(items)),
            set_sizes: host_mut(&mut selected.set_sizes),
            masks: host(&batch.masks),
        };
        let layers = self.query_copies.iter_mut().zip(self.sparse.iter_mut().zip(&mut self.full));
        let layers = batch.rows.iter().zip(layers).enumerate().map(|(number, (rows, (copy, attended)))| {
            let copied = !copy.is_empty();
            let append = AppendRows {
                key: host(&rows.key),
                value: host(&rows.value),
                query: if copied { host(&rows.query) } else { 0 },
                query_copy: host_mut(copy),
                strides: AppendStrides::dense(&stages.append),
                stable: number > 0,
            };
            let attend = |own: &mut Attended| AttentionRows {
                query: if copied { append.query_copy } else { host(&rows.query) },
                query_row: strides.query_row,
                query_head: strides.query_head,
                output: host_mut(&mut own.output),
                output_row: strides.output_row,
                output_head: strides.output_head,
                output_type: OutputType::Rounded,
                lse: own.lse.as_mut().map_or(0, |items| host_mut(items)),
                lse_base: LogBase::E,
                stable: false,
            };
            LayerAddresses { append, attend: [attend(attended.0), attend(attended.1)] }
        });
        let layers = layers.collect();
        let acceptance = batch.proposals.as_ref().zip(self.settled.as_mut());
        let acceptance = acceptance.map(|(own, settled)| accepting(own, settled, &mut self.count));
        let captures = match &acceptance {
            Some(own) if stages.target_score.is_read() => {
                let total_rows = stages.attention.total_rows;
                let rows = |rows: &crate::verifier::world::Rows| {
                    rows_of(&rows.query, total_rows, &batch.row_starts, own.last_rows, slots)
                };
                batch.rows.iter().map(rows).collect()
            }
            _ => Vec::new(),
        };
        Addresses {
            step,
            forwards: batch.forwards.iter().map(forward).collect(),
            layers,
            accepted: AcceptedBuffers {
                rows: host(&batch.accepted),
                stride: 0,
                counts: host(&batch.accepted_counts),
            },
            acceptance,
            captures,
        }
    }

    /// The target's map as it is.
    #[must_use]
    pub fn target_map(&self) -> &[f32] {
        &self.maps[0]
    }

    /// What a step has written to these arrays and to `engine`. `appended` are the caches as they were before the compaction.
    ///
    /// # Errors
    /// Acceptance has not counted its step.
    pub fn outcome(
        self,
        engine: &HostEngine,
        appended: Vec<Caches>,
        status: Vec<(Stage, Fault, u32)>,
    ) -> Result<Outcome, String> {
        let first = self.batch.proposals.as_ref().map_or(0, |own| own.arrays().step);
        let steps = u64::from(self.settled.is_some());
        if self.count != [first + steps] {
            return Err(format!("{:?} steps are counted behind {first}", self.count));
        }
        let [target_map, draft_map] = self.maps;
        let target_queries = engine.target_queries.clone();
        Ok(Outcome {
            target_map,
            draft_map,
            selected: self.selected,
            sparse: self.sparse,
            full: self.full,
            appended,
            compacted: engine.caches.clone(),
            settled: self.settled.map(|own| Settled { target_queries, ..own }),
            status,
        })
    }
}

/// What acceptance reads of `own`, and writes to `settled`.
fn accepting(own: &Proposals, settled: &mut Settled, count: &mut [u64; 1]) -> AcceptanceBuffers {
    let optional = |items: &Option<Vec<i32>>| items.as_ref().map_or(0, |items| host(items));
    AcceptanceBuffers {
        target: host(&own.target),
        draft: host(&own.draft),
        draft_rows: optional(&own.draft_rows),
        tokens: host(&own.tokens),
        parents: optional(&own.parents),
        temperatures: host(&own.temperatures),
        seeds: host(&own.seeds),
        step: host_mut(count),
        accepted: host_mut(&mut settled.accepted),
        emitted: host_mut(&mut settled.emitted),
        path: host_mut(&mut settled.path),
        last_rows: host_mut(&mut settled.last_rows),
        new_lengths: host_mut(&mut settled.new_lengths),
        strides: own.strides,
    }
}

/// The whole step of `batch` in `context`, which is one on the CPU.
///
/// # Errors
/// A call fails.
pub fn run_step(context: &Context, world: &World, batch: &Batch) -> Result<Outcome, String> {
    let engine = HostEngine::new(world);
    // SAFETY: the memory has the world's shapes, and lives as long as the verifier.
    let verifier = unsafe { Verifier::new(context, &world.problem, engine.memory())? };
    // SAFETY: a CPU has no streams.
    let space = unsafe { verifier.workspace(null_mut())? };
    let outcome = run_step_of(&verifier, &space, &engine, world, batch)?;
    let captured = |sequence: usize| {
        let items = world.stages.draft_captured.slot_stride() as usize;
        [&world.draft_queries[..], engine.draft_queries()]
            .map(|all| all[sequence * items..][..items].to_vec())
    };
    if batch.order.iter().map(|&sequence| captured(sequence)).any(|[expected, found]| expected != found) {
        return Err("the draft's queries are not captured where they belong".into());
    }
    Ok(outcome)
}

/// A step of `batch` by a verifier that was made for `engine`, in a workspace of its own.
///
/// # Errors
/// A call fails.
pub fn run_step_of(
    verifier: &Verifier,
    space: &VerifierSpace,
    engine: &HostEngine,
    world: &World,
    batch: &Batch,
) -> Result<Outcome, String> {
    let mut own = HostStep::new(world, batch);
    let arrays = own.addresses();
    let step = CStep { verifier, space, stages: &world.stages, arrays: &arrays };
    // SAFETY: the arrays have the shapes of the world's problem, and live as long as the step; a CPU has no streams.
    unsafe {
        step.choose(null_mut())?;
        step.layers(null_mut())?;
        let appended = engine.caches().to_vec();
        step.settle(null_mut())?;
        own.outcome(engine, appended, space.status(null_mut())?)
    }
}
