//! The plans of all stages.

use crate::{
    attention::{launch::AttentionPlan, problem::AttentionProblem},
    cache::{
        append::{self, launch::AppendPlan},
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
    compaction: CompactPlan,
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
        let draft_score = score(&mut choices, Stage::DraftScore, &stages.draft_score)?;
        let point = choices.choose(Stage::Selection, &stages.selection, Choice::gpu_selection)?;
        let selection = SelectPlan::new(&stages.selection, point.variant, point.cluster)?;
        let append = AppendPlan::new(&stages.append, append::launch::default_variant(limits)?)?;
        choices.note(Stage::Append, Served::Fixed { variant: append.variant().id });
        let attention = attend(&mut choices, Stage::Attention, &stages.attention)?;
        let full_attention = attend(&mut choices, Stage::FullAttention, &stages.full_attention)?;
        let compaction = CompactPlan::new(&stages.compaction, compact::launch::default_variant(limits)?)?;
        choices.note(Stage::Compaction, Served::Fixed { variant: compaction.variant().id });

        let scores = [(Stage::TargetScore, &target_score), (Stage::DraftScore, &draft_score)];
        let scores =
            scores.into_iter().filter_map(|(stage, plan)| plan.heads().map(|plan| part(stage, plan)));
        let others = [
            part(Stage::Selection, &selection),
            part(Stage::Append, &append),
            part(Stage::Attention, &attention),
            part(Stage::FullAttention, &full_attention),
            part(Stage::Compaction, &compaction),
        ];
        let workspace = WorkspaceLayout::new(scores.chain(others));
        Ok(Self {
            problem: problem.clone(),
            target_score,
            draft_score,
            selection,
            append,
            attention,
            full_attention,
            compaction,
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

    /// The launch that compacts.
    #[must_use]
    pub const fn compaction(&self) -> &CompactPlan {
        &self.compaction
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
