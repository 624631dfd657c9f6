//! The verification step whose estimation is timed.

use dustin::{
    Dtype, InvalidInput,
    geometry::ModelShare,
    kv::{KvLayout, PagedKv},
    verifier::{self, Draft, DraftCache, Gather, Limits, Rules, Stages, VerifierProblem},
};
use dustin_heads::{
    Capture,
    calibration::{Element, Model},
};

/// Tokens in a page of the caches.
const PAGE_SIZE: u32 = 16;

/// How large the step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepShape {
    /// Sequences.
    pub(crate) batch: u32,
    /// Confirmed tokens of each.
    pub(crate) context: u32,
    /// Draft tokens of each.
    pub(crate) gamma: u32,
}

impl StepShape {
    /// The stages of a verifier of the capture's models with these rules: what it would launch.
    ///
    /// # Errors
    /// The library refuses the models, the sizes or the rules.
    pub(super) fn stages(&self, capture: &Capture, rules: &Rules) -> Result<Stages, InvalidInput> {
        let Self { batch, context, gamma } = *self;
        let rows = gamma.saturating_add(1);
        let metadata = capture.metadata();
        let draft = metadata.draft.as_ref();
        let draft = draft.map(|draft| Draft { model: self.model(draft), cache: DraftCache::Complete });
        let (tokens, max_length) = (batch.saturating_mul(context), context.saturating_add(rows));
        let limits = Limits {
            max_batch: batch,
            max_total_tokens: tokens.max(max_length),
            max_length,
            rows,
            gamma,
            slots: batch,
        };
        let problem = VerifierProblem::new(self.model(&metadata.target), draft, limits, rules.clone());
        let mut stages = Stages::new(&problem)?;
        // Tables have room for the step's own rows. Maps have none, even if there is a single sequence.
        for gather in [&mut stages.target_score, &mut stages.draft_score] {
            if let Gather::Heads(score) = gather {
                score.map_capacity = tokens;
            }
        }
        stages.selection.map_capacity = tokens;
        Ok(stages)
    }

    /// A model with caches for the step.
    fn model(&self, model: &Model) -> verifier::Model {
        let geometry = model.geometry;
        let width = (self.context + self.gamma + 1).div_ceil(PAGE_SIZE);
        let pages = self.batch.saturating_mul(width).min(i32::MAX as u32);
        let kv = PagedKv::dense(KvLayout::Nhd, pages, PAGE_SIZE, geometry.kv_heads, geometry.head_dim);
        let dtype = match model.dtype {
            // Single precision is judged as a cache would round it.
            Element::Bf16 | Element::F32 => Dtype::Bf16,
            Element::F16 => Dtype::F16,
        };
        verifier::Model::new(ModelShare::whole(geometry), kv, dtype)
    }
}
