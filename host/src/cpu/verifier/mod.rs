//! A verifier on the CPU: the stages of a step, each by itself, over arrays in host memory.

mod accept;
mod arrays;

use std::borrow::Cow;

use dustin_kernels::fault::Fault;

pub use self::arrays::{
    AcceptanceArrays, AcceptedArrays, AppendRowArrays, AttentionRowArrays, CaptureRowArrays, DraftArrays,
    SetArrays, StepArrays,
};
use super::{CpuBackend, CpuCandidate, LseMut, OutputMut, score, select};
use crate::{
    attention::{
        arrays::{AttentionArrays, AttentionStrides},
        problem::AttentionProblem,
    },
    cache::{append::arrays::AppendArrays, layer::LayerMut, step::StepArrays as Rows},
    error::{InvalidInput, require_items},
    profile::{Choice, CpuCatalogue, DeviceId, Tuned},
    score::{
        arrays::{ScoreArrays, SourceArrays},
        problem::ScoreProblem,
    },
    select::arrays::{SelectArrays, SelectOutput, SelectStrides},
    verifier::{
        Captured, Gather, Report, Served, Sizes, Stage, Stages, VerifierProblem, report::LookUp, role::Role,
        stages::unread,
    },
};

const OPERATION: &str = "verifier on the CPU";

/// What appending, compacting and capturing are, whatever the choice.
const COPIES: Served = Served::copies("copies in order");

/// What acceptance is.
const WALKS: Served = Served::Fixed {
    variant: Cow::Borrowed("sequences in parallel"),
    reason: "as profiles have no entries for it: there is one way on a CPU",
};

/// The stages of a step on the CPU, with the threads and the memory that they work in. Threads of the caller need one each.
#[derive(Debug)]
pub struct CpuVerifier {
    backend: CpuBackend,
    problem: VerifierProblem,
    stages: Stages,
    target_score: Gather<score::Candidate>,
    draft_score: Gather<score::Candidate>,
    selection: select::Candidate,
    attention: CpuCandidate,
    full_attention: CpuCandidate,
    report: Report,
    /// The highest status word of each stage.
    status: [u64; Stage::ALL.len()],
}

const _: () = {
    const fn moved_between_threads<T: Send>() {}
    moved_between_threads::<CpuVerifier>();
};

impl CpuVerifier {
    /// The stages of `problem` on `backend`, a CPU of the model `device`, with the choices of `tuned`, a profile's or none.
    ///
    /// # Errors
    /// The problem, or what it comes down to, is not as documented, or no variant serves it.
    pub fn new(
        backend: CpuBackend,
        problem: &VerifierProblem,
        tuned: &Tuned<CpuCatalogue>,
        device: &DeviceId,
    ) -> Result<Self, InvalidInput> {
        let stages = Stages::new(problem)?;
        let mut choices = LookUp::new(tuned, device);
        let target_score = scored(&mut choices, Stage::TargetScore, &stages.target_score)?;
        choices.note_capture(Stage::DraftCapture, &stages.draft_score, COPIES);
        let draft_score = scored(&mut choices, Stage::DraftScore, &stages.draft_score)?;
        let selection = choices.choose(Stage::Selection, &stages.selection, Choice::cpu_selection)?;
        choices.note(Stage::Append, COPIES);
        let attention = choices.choose(Stage::Attention, &stages.attention, Choice::cpu_attention)?;
        let full_attention =
            choices.choose(Stage::FullAttention, &stages.full_attention, Choice::cpu_attention)?;
        match stages.acceptance {
            Some(_) => choices.note(Stage::Acceptance, WALKS),
            None => choices.note_unaccepted(),
        }
        choices.note(Stage::Compaction, COPIES);
        choices.note_capture(Stage::TargetCapture, &stages.target_score, COPIES);
        Ok(Self {
            backend,
            problem: problem.clone(),
            stages,
            target_score,
            draft_score,
            selection,
            attention,
            full_attention,
            report: choices.report(),
            status: [0; Stage::ALL.len()],
        })
    }

    /// The problem served.
    #[must_use]
    pub const fn problem(&self) -> &VerifierProblem {
        &self.problem
    }

    /// The stages' problems.
    #[must_use]
    pub const fn stages(&self) -> &Stages {
        &self.stages
    }

    /// Which choice serves each stage, and why.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Items of the arrays that the caller brings.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes::new(&self.stages)
    }

    /// What stages have found wrong with what the arrays contain, since that was cleared: for each stage that found something
    /// its highest fault and the sequence.
    #[must_use]
    pub fn status(&self) -> Vec<(Stage, Fault, u32)> {
        let found = |(stage, &word)| Fault::parse(word).map(|(fault, sequence)| (stage, fault, sequence));
        Stage::ALL.into_iter().zip(&self.status).filter_map(found).collect()
    }

    /// Forgets what stages have found.
    pub fn clear_status(&mut self) {
        self.status = [0; Stage::ALL.len()];
    }

    /// Gathers this rank's share of the target's map, `[max_total_tokens]`, from its captured `queries` and the `keys` of all of its
    /// layers.
    ///
    /// # Errors
    /// No set depends on the map, or an array is too short.
    pub fn score_target(
        &mut self,
        step: &StepArrays<'_>,
        queries: &[u16],
        keys: &[&[u16]],
        map: &mut [f32],
    ) -> Result<(), InvalidInput> {
        self.score(Role::Target, step, queries, keys, map)
    }

    /// Gathers this rank's share of the draft's map, likewise.
    ///
    /// # Errors
    /// As [`score_target`](Self::score_target).
    pub fn score_draft(
        &mut self,
        step: &StepArrays<'_>,
        queries: &[u16],
        keys: &[&[u16]],
        map: &mut [f32],
    ) -> Result<(), InvalidInput> {
        self.score(Role::Draft, step, queries, keys, map)
    }

    fn score(
        &mut self,
        role: Role,
        step: &StepArrays<'_>,
        queries: &[u16],
        keys: &[&[u16]],
        map: &mut [f32],
    ) -> Result<(), InvalidInput> {
        let Self { backend, problem, stages, target_score, draft_score, .. } = self;
        let (candidate, cache) = match role {
            Role::Target => (&*target_score, step.target()),
            Role::Draft => (&*draft_score, step.draft),
        };
        let captured = stages.captured(role);
        let arrays = ScoreArrays {
            sources: sources(captured, queries, keys)?,
            slots: cache.slots,
            block_table: cache.block_table,
            lengths: cache.lengths,
            map_starts: step.map_starts,
            scale: problem.model(role).scale,
            strides: captured.strides(cache.table_stride),
        };
        let word = match (stages.score(role), candidate) {
            (Gather::Heads(problem), Gather::Heads(candidate)) => {
                backend.score(problem, candidate, &arrays, map)?
            }
            (Gather::Unread, _) | (_, Gather::Unread) => return Err(unread(role.score())),
            _ => {
                require_items(OPERATION, "map", map.len(), stages.selection.map_capacity.into())?;
                map.fill(0.0);
                0
            }
        };
        self.found(role.score(), word);
        Ok(())
    }

    /// Chooses a set for each sequence from the maps that [are read](Gather::is_read), which under tensor parallelism the caller
    /// has summed over the ranks.
    ///
    /// # Errors
    /// An array is missing, not asked for or too short.
    pub fn select(
        &mut self,
        step: &StepArrays<'_>,
        target_map: Option<&[f32]>,
        draft_map: Option<&[f32]>,
        sets: SelectOutput<'_>,
    ) -> Result<(), InvalidInput> {
        let problem = &self.stages.selection;
        let looked_up = problem.table.is_some();
        let arrays = SelectArrays {
            draft: draft_map,
            target: target_map,
            map_starts: step.map_starts,
            lengths: step.lengths,
            target_slots: problem.slots.is_some().then_some(step.slots),
            block_table: looked_up.then_some(step.block_table),
            strides: SelectStrides {
                table: if looked_up { step.table_stride } else { 0 },
                ..SelectStrides::dense(problem)
            },
        };
        let word = self.backend.select(problem, &self.selection, &arrays, sets)?;
        self.found(Stage::Selection, word);
        Ok(())
    }

    /// Writes the step's own rows behind the confirmed tokens of a layer's caches and, if the problem says so, its queries to
    /// `query_copy`.
    ///
    /// # Errors
    /// A stride is not as documented, or an array too short.
    pub fn append(
        &mut self,
        step: &StepArrays<'_>,
        rows: &AppendRowArrays<'_>,
        layer: &mut LayerMut<'_>,
        query_copy: &mut [u16],
    ) -> Result<(), InvalidInput> {
        let AppendRowArrays { key, value, query, strides } = *rows;
        let arrays = AppendArrays { step: step.rows(), key, value, query, strides };
        let word = self.backend.append(&self.stages.append, &arrays, layer, query_copy)?;
        self.found(Stage::Append, word);
        Ok(())
    }

    /// A layer's attention over each sequence's set and the step's own rows.
    ///
    /// # Errors
    /// A stride is not as documented, an array too short, or a log-sum-exp is given where the problem asks for none or missing
    /// where it asks for one.
    pub fn attention(
        &mut self,
        step: &StepArrays<'_>,
        sets: &SetArrays<'_>,
        rows: &AttentionRowArrays<'_>,
        output: OutputMut<'_>,
        lse: Option<LseMut<'_>>,
    ) -> Result<(), InvalidInput> {
        let problem = &self.stages.attention;
        let arrays = attended(problem, self.problem.target.scale, step, *sets, rows);
        let word = self.backend.attention(problem, &self.attention, &arrays, output, lse)?;
        self.found(Stage::Attention, word);
        Ok(())
    }

    /// A layer's attention over all confirmed tokens and the step's own rows: what [`attention`](Self::attention) approximates,
    /// without loss.
    ///
    /// # Errors
    /// As [`attention`](Self::attention).
    pub fn full_attention(
        &mut self,
        step: &StepArrays<'_>,
        rows: &AttentionRowArrays<'_>,
        output: OutputMut<'_>,
        lse: Option<LseMut<'_>>,
    ) -> Result<(), InvalidInput> {
        let (problem, none) = (&self.stages.full_attention, SetArrays { set: &[], set_sizes: &[] });
        let arrays = attended(problem, self.problem.target.scale, step, none, rows);
        let word = self.backend.attention(problem, &self.full_attention, &arrays, output, lse)?;
        self.found(Stage::FullAttention, word);
        Ok(())
    }

    fn found(&mut self, stage: Stage, word: u64) {
        let known = &mut self.status[stage as usize];
        *known = word.max(*known);
    }
}

impl<'a> StepArrays<'a> {
    /// What the target's map is gathered from, as the draft's is.
    const fn target(&self) -> DraftArrays<'a> {
        DraftArrays {
            lengths: self.lengths,
            block_table: self.block_table,
            table_stride: self.table_stride,
            slots: Some(self.slots),
        }
    }

    /// What appending and compacting are told of the step.
    const fn rows(&self) -> Rows<'a> {
        Rows {
            block_table: self.block_table,
            table_stride: self.table_stride,
            lengths: self.lengths,
            row_starts: self.row_starts,
        }
    }
}

fn scored(
    choices: &mut LookUp<'_, CpuCatalogue>,
    stage: Stage,
    problem: &Gather<ScoreProblem>,
) -> Result<Gather<score::Candidate>, InvalidInput> {
    choices.note_idle(stage, problem);
    problem.try_map(|problem| choices.choose(stage, problem, Choice::cpu_score))
}

/// What each captured layer reads of its own.
fn sources<'a>(
    captured: &Captured,
    queries: &'a [u16],
    keys: &[&'a [u16]],
) -> Result<Vec<SourceArrays<'a>>, InvalidInput> {
    require_items(OPERATION, "queries", queries.len(), captured.items())?;
    let source = |own: &crate::verifier::CapturedLayer| {
        require_items(OPERATION, "keys", keys.len(), u64::from(own.layer) + 1)?;
        Ok(SourceArrays { query: &queries[captured.offset(own) as usize..], key: keys[own.layer as usize] })
    };
    captured.layers.iter().map(source).collect()
}

fn attended<'a>(
    problem: &AttentionProblem,
    scale: f32,
    step: &StepArrays<'a>,
    sets: SetArrays<'a>,
    rows: &AttentionRowArrays<'a>,
) -> AttentionArrays<'a> {
    AttentionArrays {
        query: rows.query,
        key: rows.key,
        value: rows.value,
        block_table: step.block_table,
        lengths: step.lengths,
        row_starts: step.row_starts,
        set: sets.set,
        set_sizes: sets.set_sizes,
        masks: step.masks,
        scale,
        strides: AttentionStrides {
            query_row: rows.query_row,
            query_head: rows.query_head,
            output_row: rows.output_row,
            output_head: rows.output_head,
            table: step.table_stride,
            ..AttentionStrides::dense(problem)
        },
    }
}
