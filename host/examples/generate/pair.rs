//! A target and its draft, and the verifier that joins them.

use dustin::{
    Dtype,
    accept::problem::{self as accept, ScoreKind, ScoreType, Scores},
    attention::problem::Mask,
    geometry::{Geometry, ModelShare},
    kv::{KvLayout, PagedKv},
    profile::LayerHeads,
    verifier::{Acceptance, Draft, DraftCache, Limits, Model as Shape, Rules, VerifierProblem},
};

use crate::{model::Model, runner::Runner};

const PAGE: u32 = 16;
/// Candidates of each level of a tree.
pub(crate) const WIDTH: usize = 2;

/// How drafts come about, and what is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) dtype: Dtype,
    /// Draft tokens one behind the other.
    pub(crate) gamma: u32,
    /// Whether each has another candidate beside it.
    pub(crate) tree: bool,
    /// Confirmed tokens that verification reads; nothing: all that there may be.
    pub(crate) budget: Option<u32>,
    /// The most tokens of the sequence.
    pub(crate) length: u32,
    pub(crate) seed: u64,
}

impl Options {
    /// Candidates behind each other's first.
    pub(crate) const fn width(&self) -> usize {
        if self.tree { WIDTH } else { 1 }
    }

    /// Rows of a step: the pending token and all candidates.
    const fn rows(&self) -> u32 {
        1 + self.gamma * self.width() as u32
    }
}

/// Both models with their caches, and what joins them.
pub(crate) struct Pair {
    pub(crate) options: Options,
    pub(crate) target: Runner,
    pub(crate) draft: Runner,
    /// Captured queries, the target's and the draft's.
    pub(crate) target_queries: Vec<u16>,
    pub(crate) draft_queries: Vec<u16>,
}

impl Pair {
    /// `model` as the target, and the first half of its layers as the draft.
    pub(crate) fn new(model: &Model, options: Options) -> anyhow::Result<Self> {
        let of_draft = model.first_half();
        let (target, draft) = (shape(model.geometry, &options), shape(of_draft.geometry, &options));
        // Random weights have no heads that retrieve better than others.
        let heads = |geometry: Geometry| {
            let of = |layer| LayerHeads { layer, heads: (0..geometry.query_heads).collect() };
            (0..geometry.layers).map(of).collect()
        };
        let k = options.budget.unwrap_or(options.length);
        let rules = Rules { sinks: 1.min(k), recent: k / 8, ..Rules::by_target(heads(model.geometry), k) }
            .with_draft(heads(of_draft.geometry), k / 2);
        let limits = Limits {
            max_batch: 1,
            max_total_tokens: options.length,
            max_length: options.length,
            rows: options.rows(),
            gamma: options.gamma,
            slots: 1,
        };
        let scores = Scores { dtype: ScoreType::F32, kind: ScoreKind::Logits };
        // Candidates beside each other are different tokens.
        let drawn = accept::Draft { scores, rows: options.gamma, without_replacement: options.tree };
        let problem = VerifierProblem {
            mask: if options.tree { Mask::Tree } else { Mask::Causal },
            acceptance: Some(Acceptance { target: scores, draft: Some(drawn) }),
            ..VerifierProblem::new(
                target,
                Some(Draft { model: draft, cache: DraftCache::Complete }),
                limits,
                rules,
            )
        };
        let target = Runner::new(model.clone(), &problem, options.seed)?;
        let sizes = target.verifier.sizes();
        Ok(Self {
            draft: alone(of_draft, &options)?,
            target_queries: vec![0; sizes.target_queries as usize],
            draft_queries: vec![0; sizes.draft_queries as usize],
            target,
            options,
        })
    }
}

/// A model without a draft, whose attention reads everything.
pub(crate) fn alone(model: Model, options: &Options) -> anyhow::Result<Runner> {
    let limits = Limits {
        max_batch: 1,
        max_total_tokens: options.length,
        max_length: options.length,
        rows: 8,
        gamma: 1,
        slots: 1,
    };
    // Sets of the last token alone, which come from no map: nobody asks for them.
    let rules = Rules { recent: 1, ..Rules::by_target(Vec::new(), 1) };
    let problem = VerifierProblem::new(shape(model.geometry, options), None, limits, rules);
    Runner::new(model, &problem, options.seed + 1)
}

fn shape(geometry: Geometry, options: &Options) -> Shape {
    let pages = options.length.div_ceil(PAGE);
    let kv = PagedKv::dense(KvLayout::Nhd, pages, PAGE, geometry.kv_heads, geometry.head_dim);
    Shape::new(ModelShare::whole(geometry), kv, options.dtype)
}
