//! The stages of a step, and the problem of each.

use std::fmt;

use crate::{
    accept::problem::AcceptProblem,
    attention::problem::{AttentionProblem, Confirmed, Entries, Mask, Sets},
    cache::{
        append::problem::AppendProblem, capture::problem::CaptureProblem, compact::problem::CompactProblem,
    },
    error::InvalidInput,
    score::problem::{ScoreProblem, Source},
    select::problem::{Maps, SelectProblem, SlotTable},
    verifier::{
        OPERATION,
        captured::{Captured, CapturedLayer},
        problem::{Model, VerifierProblem},
    },
};

/// A stage of a step, in the order of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Gathering the target's map.
    TargetScore,
    /// Capturing queries of a forward of the draft.
    DraftCapture,
    /// Gathering the draft's map.
    DraftScore,
    /// Choosing sets from the maps.
    Selection,
    /// Writing a layer's own rows to its caches.
    Append,
    /// A layer's attention over the sets.
    Attention,
    /// A layer's attention over all confirmed tokens, in the place of [`Attention`](Self::Attention).
    FullAttention,
    /// Finding the drafts to keep, and the next token.
    Acceptance,
    /// Moving the accepted rows up in all layers.
    Compaction,
    /// Capturing the target's queries of the last accepted row.
    TargetCapture,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 10] = [
        Self::TargetScore,
        Self::DraftCapture,
        Self::DraftScore,
        Self::Selection,
        Self::Append,
        Self::Attention,
        Self::FullAttention,
        Self::Acceptance,
        Self::Compaction,
        Self::TargetCapture,
    ];

    /// Its name in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TargetScore => "target score",
            Self::DraftCapture => "draft capture",
            Self::DraftScore => "draft score",
            Self::Selection => "selection",
            Self::Append => "append",
            Self::Attention => "attention",
            Self::FullAttention => "full attention",
            Self::Acceptance => "acceptance",
            Self::Compaction => "compaction",
            Self::TargetCapture => "target capture",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a map comes to be on this rank; `T` is what gathers it.
#[derive(Clone, Debug, PartialEq)]
pub enum Gather<T> {
    /// It does not: no set depends on it.
    Unread,
    /// All of its heads are other ranks': this one's share is zero.
    Zero,
    /// From the rank's own heads.
    Heads(T),
}

impl<T> Gather<T> {
    /// Whether sets depend on the map.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        !matches!(self, Self::Unread)
    }

    /// What gathers it.
    #[must_use]
    pub const fn heads(&self) -> Option<&T> {
        match self {
            Self::Heads(heads) => Some(heads),
            Self::Unread | Self::Zero => None,
        }
    }

    /// The same with what `make` makes of what gathers it.
    pub(crate) fn try_map<U, E>(&self, make: impl FnOnce(&T) -> Result<U, E>) -> Result<Gather<U>, E> {
        Ok(match self {
            Self::Unread => Gather::Unread,
            Self::Zero => Gather::Zero,
            Self::Heads(heads) => Gather::Heads(make(heads)?),
        })
    }
}

/// The problem of each stage, as a [`VerifierProblem`] comes down to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Stages {
    /// [`Stage::TargetScore`].
    pub target_score: Gather<ScoreProblem>,
    /// [`Stage::DraftScore`].
    pub draft_score: Gather<ScoreProblem>,
    /// [`Stage::Selection`].
    pub selection: SelectProblem,
    /// [`Stage::Append`].
    pub append: AppendProblem,
    /// [`Stage::Attention`].
    pub attention: AttentionProblem,
    /// [`Stage::FullAttention`].
    pub full_attention: AttentionProblem,
    /// [`Stage::Acceptance`]; nothing where the engine accepts drafts itself.
    pub acceptance: Option<AcceptProblem>,
    /// [`Stage::Compaction`].
    pub compaction: CompactProblem,
    /// [`Stage::TargetCapture`], layer by layer as in `target_captured`. Each launch is told its own number of rows.
    pub target_capture: Vec<CaptureProblem>,
    /// [`Stage::DraftCapture`], likewise.
    pub draft_capture: Vec<CaptureProblem>,
    /// The target's captured queries; none where its map is not read.
    pub target_captured: Captured,
    /// The draft's captured queries; none where its map is not read.
    pub draft_captured: Captured,
}

impl Stages {
    /// The stages of `problem`, each of them valid.
    ///
    /// # Errors
    /// The first field of the problem, or of what it comes down to, that is not as documented.
    pub fn new(problem: &VerifierProblem) -> Result<Self, InvalidInput> {
        problem.validate()?;
        let VerifierProblem { target, draft, limits, rules, .. } = problem;
        let own = [&rules.target_heads[..], &rules.draft_heads[..]];
        let read = [rules.reads_target(), rules.reads_draft()];
        let heads = |model: usize| if read[model] { own[model] } else { &[] };
        let (target_captured, sources) = Captured::new(heads(0), &target.share, limits.slots, 1)?;
        let target_score = gather(problem, target, problem.target_table_width(), 1, read[0], sources)?;
        let of_draft = draft.map_or(*target, |draft| draft.model);
        let (draft_captured, sources) = Captured::new(heads(1), &of_draft.share, limits.slots, limits.gamma)?;
        let draft_score =
            gather(problem, &of_draft, problem.draft_table_width(), limits.gamma, read[1], sources)?;

        let attention = attention(
            problem,
            Confirmed::Sets(Sets { entries: problem.entries, ..Sets::of_positions(rules.k) }),
        );
        let append = AppendProblem::from(&attention);
        let append = AppendProblem {
            query_heads: if problem.copies_queries { append.query_heads } else { 0 },
            ..append
        };
        let stages = Self {
            target_capture: captures(problem, target, &target_captured)?,
            draft_capture: captures(problem, &of_draft, &draft_captured)?,
            target_score,
            draft_score,
            selection: selection(problem),
            append,
            attention,
            full_attention: AttentionProblem { confirmed: Confirmed::Everything, ..attention },
            acceptance: acceptance(problem),
            compaction: CompactProblem {
                step: append.step,
                layers: target.share.geometry().layers,
                accepted: problem.accepted_rows(),
                // A path that acceptance finds says itself where it ends.
                counted: problem.acceptance.is_none(),
            },
            target_captured,
            draft_captured,
        };
        stages.selection.validate()?;
        stages.append.validate()?;
        stages.attention.validate()?;
        stages.full_attention.validate()?;
        stages.acceptance.map_or(Ok(()), |acceptance| acceptance.validate())?;
        stages.compaction.validate()?;
        Ok(stages)
    }
}

/// The captures of a model's layers.
fn captures(
    problem: &VerifierProblem,
    model: &Model,
    captured: &Captured,
) -> Result<Vec<CaptureProblem>, InvalidInput> {
    let of_layer = |own: &CapturedLayer| {
        let capture = CaptureProblem {
            batch: problem.limits.max_batch,
            total_rows: problem.limits.max_batch.saturating_mul(problem.limits.rows),
            query_heads: model.share.local().query_heads,
            head_dim: captured.head_dim,
            heads: own.heads.clone(),
            slots: captured.slots,
            tokens: captured.tokens,
        };
        capture.validate().map(|()| capture)
    };
    captured.layers.iter().map(of_layer).collect()
}

fn acceptance(problem: &VerifierProblem) -> Option<AcceptProblem> {
    let VerifierProblem { target, limits, .. } = problem;
    problem.acceptance.map(|own| AcceptProblem {
        batch: limits.max_batch,
        rows: limits.rows,
        total_rows: limits.max_batch.saturating_mul(limits.rows),
        vocabulary: target.share.geometry().vocabulary,
        target: own.target,
        draft: own.draft,
        tree: problem.mask == Mask::Tree,
        new_lengths: true,
    })
}

fn gather(
    problem: &VerifierProblem,
    model: &Model,
    table_width: u32,
    tokens: u32,
    read: bool,
    sources: Vec<Source>,
) -> Result<Gather<ScoreProblem>, InvalidInput> {
    if !read {
        return Ok(Gather::Unread);
    }
    if sources.is_empty() {
        return Ok(Gather::Zero);
    }
    let score = ScoreProblem {
        batch: problem.limits.max_batch,
        map_capacity: problem.limits.max_total_tokens,
        tokens,
        slots: problem.limits.slots,
        query_heads: model.share.local().query_heads,
        kv: model.kv,
        table_width,
        dtype: model.dtype,
        sources,
        accumulate: false,
    };
    score.validate()?;
    Ok(Gather::Heads(score))
}

fn selection(problem: &VerifierProblem) -> SelectProblem {
    let VerifierProblem { target, limits, rules, .. } = problem;
    let maps = match (rules.reads_target(), rules.reads_draft()) {
        (true, true) => Maps::Both,
        (true, false) => Maps::Target,
        (false, true) => Maps::Draft,
        (false, false) => Maps::Neither,
    };
    let table = SlotTable {
        pages: target.kv.pages,
        page_size: target.kv.page_size,
        table_width: problem.target_table_width(),
    };
    SelectProblem {
        batch: limits.max_batch,
        map_capacity: limits.max_total_tokens,
        budget: rules.k,
        quota: if maps.draft() { rules.m } else { 0 },
        sinks: rules.sinks,
        recent: rules.recent,
        block: rules.block,
        pooling: rules.pooling,
        everything: rules.everything,
        maps,
        slots: maps.target().then_some(limits.slots),
        without_target: rules.without_target,
        table: (problem.entries == Entries::Slots).then_some(table),
    }
}

fn attention(problem: &VerifierProblem, confirmed: Confirmed) -> AttentionProblem {
    let VerifierProblem { target, limits, .. } = problem;
    AttentionProblem {
        batch: limits.max_batch,
        rows: limits.rows,
        total_rows: limits.max_batch.saturating_mul(limits.rows),
        confirmed,
        query_heads: target.share.local().query_heads,
        kv: target.kv,
        table_width: problem.target_table_width(),
        dtype: target.dtype,
        mask: problem.mask,
        lse: problem.lse,
        batch_invariant: problem.batch_invariant,
    }
}

/// That a stage has nothing to launch: its map is not read.
pub(crate) fn unread(stage: Stage) -> InvalidInput {
    InvalidInput::new(
        OPERATION,
        "stage",
        "one whose result is read",
        format!("{stage}, which no set depends on"),
    )
}

/// That the verifier does not accept drafts.
pub(crate) fn unaccepted() -> InvalidInput {
    InvalidInput::new(OPERATION, "stage", "one of the problem's", "acceptance, which is the engine's")
}

/// The number of one of the target's layers as an index.
///
/// # Errors
/// There is no such layer.
pub(crate) fn require_layer(stages: &Stages, layer: u32) -> Result<usize, InvalidInput> {
    require_below(stages.compaction.layers, layer)
}

pub(super) fn require_below(layers: u32, layer: u32) -> Result<usize, InvalidInput> {
    if layer >= layers {
        return Err(InvalidInput::new(OPERATION, "layer", format!("below {layers}"), layer));
    }
    Ok(layer as usize)
}
