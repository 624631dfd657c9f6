//! How a verification set is chosen: heads, budgets and exceptions.

use crate::{
    error::InvalidInput,
    geometry::Geometry,
    profile::{LayerHeads, Profile, Selection},
    score::problem::Source,
    select::problem::{Fallback, MAX_BUDGET},
    verifier::OPERATION,
};

/// The rules of selection for one pair of models. Layers and heads are numbered over the whole models, whatever the tensor
/// parallelism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The target's layers and query heads whose mean attention is its map; not looked at where it decides nothing.
    pub target_heads: Vec<LayerHeads>,
    /// The draft's layers and query heads, likewise; not looked at where it decides nothing, as with m = 0.
    pub draft_heads: Vec<LayerHeads>,
    /// The budget k: confirmed tokens that a set may have, sinks and recent ones included; a multiple of `block`.
    pub k: u32,
    /// The quota m: tokens that come from the draft's map first, at most k; a multiple of `block`. Where sinks and recent tokens
    /// leave less room, it is all that they leave: m = k means that the draft's map decides alone.
    pub m: u32,
    /// First tokens of a sequence that are always read.
    pub sinks: u32,
    /// Last confirmed tokens of a sequence that are always read.
    pub recent: u32,
    /// Tokens that a score is averaged over before selection: odd; 1 for none.
    pub pooling: u32,
    /// Tokens that are chosen together, by the sum of their scores; 1 for each alone.
    pub block: u32,
    /// Sequences of at most so many confirmed tokens have all of them read; 0 for none.
    pub everything: u32,
    /// What a sequence gets that has no captured target query yet: the rest of its set from the draft's map, or all of its
    /// tokens.
    pub without_target: Fallback,
}

/// The selection of a profile, which knows neither blocks nor exceptions: tokens are chosen one by one, a sequence without a
/// target query has all of its tokens read, as does no other.
impl From<&Selection> for Rules {
    fn from(selection: &Selection) -> Self {
        let Selection { k, m, sinks, recent, pooling, .. } = *selection;
        Self {
            target_heads: selection.target_heads.clone(),
            draft_heads: selection.draft_heads.clone(),
            m,
            sinks,
            recent,
            pooling,
            ..Self::by_target(Vec::new(), k)
        }
    }
}

impl Rules {
    /// Sets of the k tokens that `heads` of the target attend to most.
    #[must_use]
    pub const fn by_target(heads: Vec<LayerHeads>, k: u32) -> Self {
        Self {
            target_heads: heads,
            draft_heads: Vec::new(),
            k,
            m: 0,
            sinks: 0,
            recent: 0,
            pooling: 1,
            block: 1,
            everything: 0,
            without_target: Fallback::Everything,
        }
    }

    /// The same, with the first `m` tokens by what `heads` of the draft attend to.
    #[must_use]
    pub fn with_draft(self, heads: Vec<LayerHeads>, m: u32) -> Self {
        Self { draft_heads: heads, m, ..self }
    }

    /// What `profile` has for a pair of models, by the names that calibration gave them.
    #[must_use]
    pub fn of_profile(profile: &Profile, target_model: &str, draft_model: &str) -> Option<Self> {
        let pair =
            |known: &&Selection| known.target_model == target_model && known.draft_model == draft_model;
        profile.selections.iter().find(pair).map(Self::from)
    }

    /// Whether the draft's map is read: what is always taken may leave it nothing to decide.
    #[must_use]
    pub fn reads_draft(&self) -> bool {
        self.m > 0 && self.taken(0) < u64::from(self.k)
    }

    /// Whether the target's map is read: the quota and what is always taken may leave it nothing to decide.
    #[must_use]
    pub fn reads_target(&self) -> bool {
        self.taken(self.m) < u64::from(self.k)
    }

    /// The least that sinks, recent tokens and `quota` take, in whole blocks, of a sequence that exceeds the budget.
    fn taken(&self, quota: u32) -> u64 {
        let block = u64::from(self.block.max(1));
        [quota, self.sinks, self.recent].map(|count| u64::from(count).next_multiple_of(block)).iter().sum()
    }

    /// Checks what no derived problem does, for models of these geometries, of which the draft may be missing, and sequences of up
    /// to `max_length` tokens.
    ///
    /// # Errors
    /// The first field at fault.
    pub(super) fn validate(
        &self,
        target: Geometry,
        draft: Option<Geometry>,
        max_length: u32,
    ) -> Result<(), InvalidInput> {
        let most = MAX_BUDGET.min(max_length);
        if !(1..=most).contains(&self.k) {
            let required = format!("from 1 to {most}, the least of max_length and {MAX_BUDGET}");
            return Err(InvalidInput::new(OPERATION, "k", required, self.k));
        }
        if self.m > self.k {
            return Err(InvalidInput::new(OPERATION, "m", format!("at most k, {}", self.k), self.m));
        }
        if self.reads_target() {
            require_heads("target_heads", &self.target_heads, target)?;
        }
        match draft {
            None if self.m > 0 => {
                Err(InvalidInput::new(OPERATION, "m", "0, as there is no draft model", self.m))
            }
            Some(draft) if self.reads_draft() => require_heads("draft_heads", &self.draft_heads, draft),
            _ => Ok(()),
        }
    }
}

/// Each layer's heads as a source whose map, with the others', is the mean over all heads and `tokens` captured tokens.
pub(super) fn mean(heads: &[LayerHeads], tokens: u32) -> impl Iterator<Item = (u32, Source)> {
    let numbers: Vec<&[u32]> = heads.iter().map(|layer| layer.heads.as_slice()).collect();
    heads.iter().map(|layer| layer.layer).zip(Source::mean(&numbers, tokens))
}

fn require_heads(field: &'static str, layers: &[LayerHeads], model: Geometry) -> Result<(), InvalidInput> {
    let ascending = layers.is_sorted_by(|a, b| a.layer < b.layer)
        && layers.iter().all(|layer| layer.heads.is_sorted_by(|a, b| a < b));
    if layers.is_empty() || layers.iter().any(|layer| layer.heads.is_empty()) || !ascending {
        let required = "at least one layer, each with at least one head, both ascending";
        return Err(InvalidInput::new(OPERATION, field, required, format!("{layers:?}")));
    }
    for LayerHeads { layer, heads } in layers {
        let beyond = heads.iter().find(|&&head| head >= model.query_heads);
        if *layer >= model.layers || beyond.is_some() {
            let required =
                format!("of the model's {} layers of {} query heads", model.layers, model.query_heads);
            let actual = beyond.or(heads.first()).map_or(0, |&head| head);
            return Err(InvalidInput::new(
                OPERATION,
                field,
                required,
                format!("head {actual} of layer {layer}"),
            ));
        }
    }
    Ok(())
}
