//! What a caller asks of a verifier: two models, limits and rules. All of it is known to the host before the first step.

use dustin_kernels::registry::Dtype;

use crate::{
    accept::problem as accept,
    attention::problem::{Entries, Mask},
    error::InvalidInput,
    geometry::{Geometry, ModelShare},
    kv::PagedKv,
    verifier::{OPERATION, rules::Rules},
};

/// A model as this rank holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// What of it the rank has.
    pub share: ModelShare,
    /// The caches of one layer, with the rank's KV heads; all layers' are alike.
    pub kv: PagedKv,
    /// Element type of queries, keys, values and outputs.
    pub dtype: Dtype,
    /// The softmax scale, positive.
    pub scale: f32,
}

impl Model {
    /// A model with the usual softmax scale, 1 / √head_dim.
    #[must_use]
    pub fn new(share: ModelShare, kv: PagedKv, dtype: Dtype) -> Self {
        Self { share, kv, dtype, scale: 1.0 / (share.geometry().head_dim as f32).sqrt() }
    }

    /// Pages that a block table needs for a sequence of `tokens` tokens.
    fn table_width(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.kv.page_size.max(1))
    }

    /// Checks on behalf of the field names in `fields` (KV heads, head size, query heads, layers) that the caches are those of the
    /// rank.
    fn validate(&self, fields: [&'static str; 4]) -> Result<(), InvalidInput> {
        let Geometry { layers, query_heads, kv_heads, head_dim, .. } = self.share.local();
        for (field, required, actual) in
            [(fields[0], kv_heads, self.kv.kv_heads), (fields[1], head_dim, self.kv.head_dim)]
        {
            if required != actual {
                let required = format!("{required}, as the rank's share of the model has");
                return Err(InvalidInput::new(OPERATION, field, required, actual));
            }
        }
        if query_heads == 0 || kv_heads == 0 || !query_heads.is_multiple_of(kv_heads) {
            let required = format!("a multiple of the {kv_heads} KV heads, and not 0");
            return Err(InvalidInput::new(OPERATION, fields[2], required, query_heads));
        }
        if layers == 0 {
            return Err(InvalidInput::new(OPERATION, fields[3], "at least 1", layers));
        }
        Ok(())
    }
}

/// What a draft model's cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DraftCache {
    /// All confirmed tokens.
    Complete,
    /// No more than sinks and a window: there is no draft's map.
    Windowed,
}

/// The model that proposes tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draft {
    /// The model.
    pub model: Model,
    /// What its cache holds.
    pub cache: DraftCache,
}

/// How the verifier accepts drafts. The vocabulary is the target's, and drafts form a tree where the [mask](VerifierProblem::mask) is
/// one, else chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Acceptance {
    /// The scores of the target, of all rows. Ranks that share a model need those of the whole vocabulary.
    pub target: accept::Scores,
    /// What drafts were drawn from. Nothing: each counts as certain, as one that was looked up or is the draft model's best.
    /// A draft model of a smaller vocabulary needs rows as long as the target's, with negative infinity (probabilities: 0) behind its
    /// own tokens.
    pub draft: Option<accept::Draft>,
}

/// The most that a step may have, of everything that is not known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Sequences of a batch. Steps with fewer give those that are missing length 0, no rows and slot -1.
    pub max_batch: u32,
    /// Confirmed tokens of all sequences together. Maps and workspace follow it.
    pub max_total_tokens: u32,
    /// Tokens of one sequence, the step's own rows included. Block tables have room for them.
    pub max_length: u32,
    /// The step's own rows of one sequence: the pending token and the drafts, so at least γ + 1; up to 64.
    pub rows: u32,
    /// Draft tokens of a step one after the other (γ), for a tree its depth: queries that the draft's map is gathered from, and one less
    /// than the rows that can be accepted.
    pub gamma: u32,
    /// Slots of captured queries: at least one for each sequence of a batch.
    pub slots: u32,
}

/// What a verifier is made for.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifierProblem {
    /// The model that is served.
    pub target: Model,
    /// The model that proposes tokens, where its attention is read or may be.
    pub draft: Option<Draft>,
    /// The most that a step may have.
    pub limits: Limits,
    /// How sets are chosen.
    pub rules: Rules,
    /// Which of the step's own rows a row sees.
    pub mask: Mask,
    /// Whether attention gives the log-sum-exp, too.
    pub lse: bool,
    /// What attention reads of a set: positions, which block tables find and which are checked, or slots of the cache, which
    /// selection then looks up once for all layers.
    pub entries: Entries,
    /// Whether appending brings the queries to where attention reads them.
    pub copies_queries: bool,
    /// Whether the kernels of attention are chosen so that a sequence's bits are the same in batches of every size.
    pub batch_invariant: bool,
    /// How drafts are accepted; nothing where the engine does that itself.
    pub acceptance: Option<Acceptance>,
}

impl VerifierProblem {
    /// What most engines ask: causal rows, sets of positions, no log-sum-exp, queries that are where attention reads them, and
    /// acceptance by the engine.
    #[must_use]
    pub const fn new(target: Model, draft: Option<Draft>, limits: Limits, rules: Rules) -> Self {
        Self {
            target,
            draft,
            limits,
            rules,
            mask: Mask::Causal,
            lse: false,
            entries: Entries::Positions,
            copies_queries: false,
            batch_invariant: false,
            acceptance: None,
        }
    }

    /// Pages of a sequence's block table in the target's caches.
    #[must_use]
    pub fn target_table_width(&self) -> u32 {
        self.target.table_width(self.limits.max_length)
    }

    /// Pages of a sequence's block table in the draft's caches; 0 without a draft model.
    #[must_use]
    pub fn draft_table_width(&self) -> u32 {
        self.draft.map_or(0, |draft| draft.model.table_width(self.limits.max_length))
    }

    /// The rows that a list of accepted ones has room for: the pending token and all γ drafts of a path. Paths that the verifier
    /// itself finds have room for all rows, so that none is cut short in a tree deeper than γ.
    #[must_use]
    pub const fn accepted_rows(&self) -> u32 {
        if self.acceptance.is_some() { self.limits.rows } else { self.limits.gamma.saturating_add(1) }
    }

    /// Checks what no [derived problem](super::Stages) does.
    ///
    /// # Errors
    /// The first field at fault.
    pub(super) fn validate(&self) -> Result<(), InvalidInput> {
        let error =
            |field, required: String, actual: u32| Err(InvalidInput::new(OPERATION, field, required, actual));
        self.target.validate([
            "target.kv.kv_heads",
            "target.kv.head_dim",
            "target.query_heads",
            "target.layers",
        ])?;
        if let Some(Draft { model, .. }) = &self.draft {
            model.validate([
                "draft.kv.kv_heads",
                "draft.kv.head_dim",
                "draft.query_heads",
                "draft.layers",
            ])?;
        }
        let Limits { max_batch, max_total_tokens, max_length, rows, gamma, slots } = self.limits;
        for (field, limit) in [
            ("max_batch", max_batch),
            ("max_total_tokens", max_total_tokens),
            ("max_length", max_length),
            ("rows", rows),
            ("gamma", gamma),
            ("slots", slots),
        ] {
            if limit == 0 {
                return error(field, "at least 1".into(), limit);
            }
        }
        if rows > 64 {
            return error("rows", "from 1 to 64".into(), rows);
        }
        if gamma >= rows {
            let required = format!("below the {rows} rows, of which the pending token's is one");
            return error("gamma", required, gamma);
        }
        if max_length <= rows {
            return error("max_length", format!("above the {rows} rows of a step"), max_length);
        }
        if max_total_tokens < max_length {
            let required = format!("at least max_length, {max_length}");
            return error("max_total_tokens", required, max_total_tokens);
        }
        if slots < max_batch {
            return error("slots", format!("at least max_batch, {max_batch}"), slots);
        }
        let draft = self.draft.map(|draft| draft.model.share.geometry());
        self.rules.validate(self.target.share.geometry(), draft, max_length)?;
        let windowed = self.draft.is_some_and(|draft| draft.cache == DraftCache::Windowed);
        if windowed && self.rules.m > 0 {
            let required = "0, as the draft's cache holds no more than a window".into();
            return error("m", required, self.rules.m);
        }
        Ok(())
    }
}
