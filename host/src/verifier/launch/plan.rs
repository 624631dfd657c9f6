//! The plans of all stages.

use crate::{
    accept::launch::{AcceptPlan, default_variants},
    attention::{launch::AttentionPlan, problem::AttentionProblem},
    cache::{
        append::{self, launch::AppendPlan},
        capture::{self, launch::CapturePlan, problem::CaptureProblem},
        compact::{self, launch::CompactPlan},
    },
    cuda::Plan,
    error::InvalidInput,
    profile::{Choice, DeviceId, GpuCatalogue, Tuned},
    score::{launch::ScorePlan, problem::ScoreProblem},
    select::launch::SelectPlan,
    verifier::{
        Gather, Report, Served, Sizes, Stage, Stages, VerifierProblem, launch::workspace::WorkspaceLayout,
        report::LookUp,
    },
};

/// The validated launches of a verifier on a GPU, and which choices they come from.
#[derive(Clone, Debug)]
pub struct VerifierPlan {
    problem: VerifierProblem,
    stages: Stages,
    target_score: Gather<ScorePlan>,
    draft_score: Gather<ScorePlan>,
    selection: SelectPlan,
    append: AppendPlan,
    attention: AttentionPlan,
    full_attention: AttentionPlan,
    acceptance: Option<AcceptPlan>,
    compaction: CompactPlan,
    target_capture: Vec<CapturePlan>,
    draft_capture: Vec<CapturePlan>,
    workspace: WorkspaceLayout,
    report: Report,
}

type Choices<'a> = LookUp<'a, GpuCatalogue>;

impl VerifierPlan {
    /// Plans the stages of `problem` on GPUs of the model `device`, with the choices of `tuned`, a profile's or none.
    ///
    /// # Errors
    /// The problem, or what it comes down to, is not as documented, or no variant serves it.
    pub fn new(
        problem: &VerifierProblem,
        tuned: &Tuned<GpuCatalogue>,
        device: &DeviceId,
    ) -> Result<Self, InvalidInput> {
        let stages = Stages::new(problem)?;
        let limits = &tuned.catalogue().limits;
        let mut choices = LookUp::new(tuned, device);
        let target_score = score(&mut choices, Stage::TargetScore, &stages.target_score)?;
        let of_layers = capture::launch::default_variant(limits)?;
        let copies = Served::copies(of_layers.id);
        choices.note_capture(Stage::DraftCapture, &stages.draft_score, copies.clone());
        let draft_score = score(&mut choices, Stage::DraftScore, &stages.draft_score)?;
        let point = choices.choose(Stage::Selection, &stages.selection, Choice::gpu_selection)?;
        let selection = SelectPlan::new(&stages.selection, point.variant, point.cluster)?;
        let append = AppendPlan::new(&stages.append, append::launch::default_variant(limits)?)?;
        choices.note(Stage::Append, Served::copies(append.variant().id));
        let attention = attend(&mut choices, Stage::Attention, &stages.attention)?;
        let full_attention = attend(&mut choices, Stage::FullAttention, &stages.full_attention)?;
        let acceptance = match &stages.acceptance {
            Some(problem) => {
                let (rows, walk) = default_variants(limits)?;
                let variant = format!("{}+{}", rows.id, walk.id).into();
                let reason = "as profiles have no entries for it: of what runs on the device the walk of the most blocks";
                choices.note(Stage::Acceptance, Served::Fixed { variant, reason });
                Some(AcceptPlan::new(problem, rows, walk)?)
            }
            None => {
                choices.note_unaccepted();
                None
            }
        };
        let compaction = CompactPlan::new(&stages.compaction, compact::launch::default_variant(limits)?)?;
        choices.note(Stage::Compaction, Served::copies(compaction.variant().id));

        choices.note_capture(Stage::TargetCapture, &stages.target_score, copies);
        let captures = |problems: &[CaptureProblem]| {
            problems.iter().map(|problem| CapturePlan::new(problem, of_layers)).collect::<Result<Vec<_>, _>>()
        };
        let (target_capture, draft_capture) =
            (captures(&stages.target_capture)?, captures(&stages.draft_capture)?);

        // The layers' captures report in one place.
        let parts = [
            target_score.heads().map(|plan| part(Stage::TargetScore, plan)),
            draft_capture.first().map(|plan| part(Stage::DraftCapture, plan)),
            draft_score.heads().map(|plan| part(Stage::DraftScore, plan)),
            Some(part(Stage::Selection, &selection)),
            Some(part(Stage::Append, &append)),
            Some(part(Stage::Attention, &attention)),
            Some(part(Stage::FullAttention, &full_attention)),
            acceptance.as_ref().map(|plan| part(Stage::Acceptance, plan)),
            Some(part(Stage::Compaction, &compaction)),
            target_capture.first().map(|plan| part(Stage::TargetCapture, plan)),
        ];
        let workspace = WorkspaceLayout::new(parts.into_iter().flatten());
        Ok(Self {
            problem: problem.clone(),
            target_score,
            draft_score,
            selection,
            append,
            attention,
            full_attention,
            acceptance,
            compaction,
            target_capture,
            draft_capture,
            workspace,
            report: choices.report(),
            stages,
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

    /// The stages' parts of the workspace.
    #[must_use]
    pub const fn workspace(&self) -> &WorkspaceLayout {
        &self.workspace
    }

    /// Bytes of workspace that a step needs.
    #[must_use]
    pub fn workspace_bytes(&self) -> u64 {
        self.workspace.bytes()
    }

    /// The launches that gather the target's map.
    #[must_use]
    pub const fn target_score(&self) -> &Gather<ScorePlan> {
        &self.target_score
    }

    /// The launches that gather the draft's map.
    #[must_use]
    pub const fn draft_score(&self) -> &Gather<ScorePlan> {
        &self.draft_score
    }

    /// The launch that selects.
    #[must_use]
    pub const fn selection(&self) -> &SelectPlan {
        &self.selection
    }

    /// The launch that appends a layer's rows.
    #[must_use]
    pub const fn append(&self) -> &AppendPlan {
        &self.append
    }

    /// The launch of a layer's attention over the sets.
    #[must_use]
    pub const fn attention(&self) -> &AttentionPlan {
        &self.attention
    }

    /// The launch of a layer's attention over all tokens.
    #[must_use]
    pub const fn full_attention(&self) -> &AttentionPlan {
        &self.full_attention
    }

    /// The launches that accept; nothing where the engine does.
    #[must_use]
    pub const fn acceptance(&self) -> Option<&AcceptPlan> {
        self.acceptance.as_ref()
    }

    /// The launch that compacts.
    #[must_use]
    pub const fn compaction(&self) -> &CompactPlan {
        &self.compaction
    }

    /// The launches that capture the target's queries, layer by layer as in [`Stages::target_captured`].
    #[must_use]
    pub fn target_capture(&self) -> &[CapturePlan] {
        &self.target_capture
    }

    /// The launches that capture the draft's, as in [`Stages::draft_captured`].
    #[must_use]
    pub fn draft_capture(&self) -> &[CapturePlan] {
        &self.draft_capture
    }
}

/// What a stage needs of the workspace, and how much of it zeroed.
fn part(stage: Stage, plan: &impl Plan) -> (Stage, u64, u64) {
    (stage, plan.workspace_bytes(), plan.zeroed_bytes())
}

fn score(
    choices: &mut Choices<'_>,
    stage: Stage,
    problem: &Gather<ScoreProblem>,
) -> Result<Gather<ScorePlan>, InvalidInput> {
    choices.note_idle(stage, problem);
    problem.try_map(|problem| {
        let point = choices.choose(stage, problem, Choice::gpu_score)?;
        ScorePlan::new(problem, point.logits, point.fold, point.splits)
    })
}

fn attend(
    choices: &mut Choices<'_>,
    stage: Stage,
    problem: &AttentionProblem,
) -> Result<AttentionPlan, InvalidInput> {
    let point = choices.choose(stage, problem, Choice::gpu_attention)?;
    AttentionPlan::new(problem, point.variant, point.splits)
}
