//! What a step gave, and the verdict on it.

use dustin::{
    attention::{
        arrays::{AttentionArrays, AttentionStrides, LogBase},
        compare::{Output, compare_lse, compare_output},
        problem::{AttentionProblem, Entries},
        reference as attention,
    },
    score::{
        arrays::{ScoreArrays, ScoreStrides, SourceArrays},
        compare::compare_map,
        problem::ScoreProblem,
        reference as score,
    },
    select::{
        arrays::{SelectArrays, SelectStrides},
        compare::{Selected, compare},
        reference as select,
    },
    verifier::{Captured, Gather, Stage},
};
use dustin_kernels::fault::Fault;

use super::{
    batch::Batch,
    world::{Caches, World},
};
use crate::gpu::text;

/// What a map holds before a step: a NaN that no computation gives.
pub const POISON: f32 = f32::from_bits(0x7fc0_dead);

/// What one layer's attention wrote.
#[derive(Clone, Debug)]
pub struct Attended {
    /// Outputs.
    pub output: Vec<u16>,
    /// Log-sum-exps, if asked for.
    pub lse: Option<Vec<f32>>,
}

/// What a step wrote.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The target's map, which held poison.
    pub target_map: Vec<f32>,
    /// The draft's map, likewise.
    pub draft_map: Vec<f32>,
    /// The sets.
    pub selected: Selected,
    /// Each layer's attention over the sets.
    pub sparse: Vec<Attended>,
    /// Each layer's attention over all tokens.
    pub full: Vec<Attended>,
    /// The caches once the rows are appended.
    pub appended: Vec<Caches>,
    /// The caches once the accepted rows are moved up.
    pub compacted: Vec<Caches>,
    /// What was accepted, if the verifier accepts.
    pub settled: Option<Settled>,
    /// What stages found wrong.
    pub status: Vec<(Stage, Fault, u32)>,
}

/// What acceptance and the capture behind it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Accepted drafts.
    pub accepted: Vec<i32>,
    /// Emitted tokens.
    pub emitted: Vec<i32>,
    /// Paths.
    pub path: Vec<i32>,
    /// Last rows.
    pub last_rows: Vec<i32>,
    /// Lengths behind the step.
    pub new_lengths: Vec<i32>,
    /// The target's captured queries.
    pub target_queries: Vec<u16>,
}

impl Outcome {
    /// All of it as bits, to be compared with another's.
    #[must_use]
    pub fn bits(&self) -> Vec<u32> {
        let floats = |items: &[f32]| items.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let halves = |items: &[u16]| items.iter().map(|&x| x.into()).collect::<Vec<u32>>();
        let mut bits = [floats(&self.target_map), floats(&self.draft_map)].concat();
        bits.extend(self.selected.set.iter().chain(&self.selected.set_sizes).map(|x| x.cast_unsigned()));
        for attended in self.sparse.iter().chain(&self.full) {
            bits.extend(halves(&attended.output));
            bits.extend(floats(attended.lse.as_deref().unwrap_or_default()));
        }
        for caches in self.appended.iter().chain(&self.compacted) {
            bits.extend(halves(&caches.key).into_iter().chain(halves(&caches.value)));
        }
        if let Some(Settled { accepted, emitted, path, last_rows, new_lengths, target_queries }) =
            &self.settled
        {
            for numbers in [accepted, emitted, path, last_rows, new_lengths] {
                bits.extend(numbers.iter().map(|x| x.cast_unsigned()));
            }
            bits.extend(halves(target_queries));
        }
        bits
    }

    /// What sequence `index` of `batch` got: its parts of the maps, its set, and its rows' outputs.
    #[must_use]
    pub fn of_sequence(&self, world: &World, batch: &Batch, index: usize) -> Vec<u32> {
        let (start, length) = (batch.map_starts[index] as usize, batch.lengths[index] as usize);
        let of_map =
            |map: &Vec<f32>| map[start..start + length].iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let (size, k) = (self.selected.set_sizes[index], world.problem.rules.k as usize);
        let set = &self.selected.set[index * k..][..usize::try_from(size).unwrap_or(0)];
        let mut bits = [of_map(&self.target_map), of_map(&self.draft_map)].concat();
        bits.extend([size].iter().chain(set).map(|x| x.cast_unsigned()));
        let problem = &world.stages.attention;
        let row = (problem.query_heads * problem.kv.head_dim) as usize;
        let rows = batch.row_starts[index] as usize * row..batch.row_starts[index + 1] as usize * row;
        for attended in self.sparse.iter().chain(&self.full) {
            bits.extend(attended.output[rows.clone()].iter().map(|&x| u32::from(x)));
        }
        bits
    }

    /// Judges the maps by the f64 reference, the sets by the exact selection from these maps, each layer's attention by the f64
    /// reference over these sets, and the caches bit for bit.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn judge(&self, world: &World, batch: &Batch) -> Result<(), String> {
        let of = |what: &'static str| move |error: String| format!("{what}: {error}");
        let [target, draft] = references(world, batch)?;
        judge_map(&target, &self.target_map).map_err(of("the target's map"))?;
        judge_map(&draft, &self.draft_map).map_err(of("the draft's map"))?;
        self.judge_behind_the_maps(world, batch)
    }

    /// Judges all but the maps, which under tensor parallelism are a sum over the ranks.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn judge_behind_the_maps(&self, world: &World, batch: &Batch) -> Result<(), String> {
        if !self.status.is_empty() {
            return Err(format!("a sound step reported {:?}", self.status));
        }
        let of = |what: &'static str| move |error: String| format!("{what}: {error}");
        self.judge_sets(world, batch).map_err(of("the sets"))?;
        if self.appended != world.appended(batch) {
            return Err("the rows are not where appending puts them".into());
        }
        if self.compacted != world.compacted(batch) {
            return Err("the accepted rows are not where compacting puts them".into());
        }
        if self.settled != world.settled(batch) {
            return Err(format!("{:?} were accepted", self.settled));
        }
        let problems = [(&world.stages.attention, &self.sparse), (&world.stages.full_attention, &self.full)];
        for (problem, layers) in problems {
            for (layer, attended) in layers.iter().enumerate() {
                self.judge_attention(world, batch, problem, layer, attended)
                    .map_err(|error| format!("layer {layer}, {:?}: {error}", problem.confirmed))?;
            }
        }
        Ok(())
    }

    fn judge_sets(&self, world: &World, batch: &Batch) -> Result<(), String> {
        let problem = &world.stages.selection;
        let strides = SelectStrides::dense(problem);
        let arrays = SelectArrays {
            draft: problem.maps.draft().then_some(&self.draft_map),
            target: problem.maps.target().then_some(&self.target_map),
            map_starts: &batch.map_starts,
            lengths: &batch.lengths,
            target_slots: problem.slots.is_some().then_some(&batch.slots),
            block_table: problem.table.is_some().then_some(&batch.block_table),
            strides,
        };
        let reference = select::select(problem, &arrays).map_err(text)?;
        compare(problem, &strides, &reference, &self.selected).map_err(text)
    }

    fn judge_attention(
        &self,
        world: &World,
        batch: &Batch,
        problem: &AttentionProblem,
        layer: usize,
        attended: &Attended,
    ) -> Result<(), String> {
        let slots = world.problem.entries == Entries::Slots;
        let set =
            if slots { self.selected.physical.as_deref().unwrap_or_default() } else { &self.selected.set };
        let listed = problem.sets().is_some();
        let arrays = AttentionArrays {
            query: &batch.rows[layer].query,
            key: &self.appended[layer].key,
            value: &self.appended[layer].value,
            block_table: &batch.block_table,
            lengths: &batch.lengths,
            row_starts: &batch.row_starts,
            set: if listed { set } else { &[] },
            set_sizes: if listed { &self.selected.set_sizes } else { &[] },
            masks: &batch.masks,
            scale: world.problem.target.scale,
            strides: AttentionStrides::dense(problem),
        };
        let reference = attention::attention(problem, &arrays).map_err(text)?;
        compare_output(problem, &arrays, &reference, Output::Rounded(&attended.output)).map_err(text)?;
        match &attended.lse {
            Some(lse) => compare_lse(problem, &reference, lse, LogBase::E).map(drop).map_err(text),
            None => Ok(()),
        }
    }
}

/// A map that must be, in f64; nothing if no set depends on it.
pub type MapReference = Option<(ScoreProblem, score::Reference)>;

/// What the target's and the draft's maps must be.
///
/// # Errors
/// The world is of no valid problem.
pub fn references(world: &World, batch: &Batch) -> Result<[MapReference; 2], String> {
    let keys: Vec<&[u16]> = world.target.iter().map(|caches| &caches.key[..]).collect();
    let draft_keys: Vec<&[u16]> = world.draft_keys.iter().map(Vec::as_slice).collect();
    let stages = &world.stages;
    let draft = world.problem.draft.expect("a draft model").model;
    let of = |gather: &Gather<ScoreProblem>,
              captured: &Captured,
              queries: &[u16],
              keys: &[&[u16]],
              slots: &[i32],
              table: &[i32],
              scale: f32| {
        let Gather::Heads(problem) = gather else { return Ok(None) };
        let dim = u64::from(captured.head_dim);
        let heads: u64 = captured.layers.iter().map(|layer| layer.heads.len() as u64).sum();
        let source = |layer: &dustin::verifier::CapturedLayer| SourceArrays {
            query: &queries[(u64::from(layer.first) * dim) as usize..],
            key: keys[layer.layer as usize],
        };
        let arrays = ScoreArrays {
            sources: captured.layers.iter().map(source).collect(),
            slots: Some(slots),
            block_table: table,
            lengths: &batch.lengths,
            map_starts: &batch.map_starts,
            scale,
            strides: ScoreStrides {
                query_slot: u64::from(captured.tokens) * heads * dim,
                query_token: heads * dim,
                query_head: dim,
                table: problem.table_width.into(),
            },
        };
        let before = vec![POISON; problem.map_capacity as usize];
        let reference = score::score(problem, &arrays, &before).map_err(text)?;
        Ok::<_, String>(Some((problem.clone(), reference)))
    };
    Ok([
        of(
            &stages.target_score,
            &stages.target_captured,
            &world.target_queries,
            &keys,
            &batch.slots,
            &batch.block_table,
            world.problem.target.scale,
        )?,
        of(
            &stages.draft_score,
            &stages.draft_captured,
            &world.draft_queries,
            &draft_keys,
            &batch.draft_slots,
            &batch.draft_table,
            draft.scale,
        )?,
    ])
}

fn judge_map(reference: &MapReference, map: &[f32]) -> Result<(), String> {
    let Some((problem, reference)) = reference else {
        return map.is_empty().then_some(()).ok_or_else(|| "there is none".into());
    };
    compare_map(problem, reference, &vec![POISON; map.len()], map).map(drop).map_err(text)
}
