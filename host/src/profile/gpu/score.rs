//! Choices of scoring on a GPU: a variant of `logits`, and one of `fold` behind it.

use dustin_kernels::registry::{FoldVariant, LogitsVariant};

use super::{
    cannot_launch,
    listed::{self, Variant},
    unknown,
};
use crate::{
    InvalidInput,
    limits::DeviceLimits,
    profile::{
        catalogue::require_parameters,
        key::ScoreKey,
        schema::{Choice, Launch},
    },
    score::{
        launch::ScorePlan,
        space::{self, Candidate},
    },
};

const OPERATION: &str = "scoring on a GPU";

impl From<Candidate> for Launch {
    fn from(Candidate { fold, splits, .. }: Candidate) -> Self {
        Self { fold: Some(fold.id.into()), splits: Some(splits), ..Self::default() }
    }
}

impl Choice {
    /// The candidate of scoring's tuning space on a GPU that this choice names; nothing if it names none. That it may
    /// be launched is for [`Tuned`](crate::profile::Tuned) to say.
    #[must_use]
    pub fn gpu_score(&self) -> Option<Candidate> {
        let Launch { fold: Some(fold), splits: Some(splits), .. } = &self.launch else { return None };
        Some(Candidate { logits: logits(&self.variant)?, fold: folds(fold)?, splits: *splits })
    }
}

pub(super) fn check(
    key: &ScoreKey,
    id: &str,
    launch: &Launch,
    limits: &DeviceLimits,
) -> Result<(), InvalidInput> {
    key.require_supported(OPERATION)?;
    let logits = logits(id).ok_or_else(|| unknown(OPERATION, id))?;
    require_parameters(OPERATION, launch, &["launch.fold", "launch.splits"])?;
    let fold_id = launch.fold.as_deref().unwrap_or_default();
    let fold = folds(fold_id).ok_or_else(|| {
        InvalidInput::new(OPERATION, "launch.fold", "one of this build's folds", format!("{fold_id:?}"))
    })?;
    let candidate = Candidate { logits, fold, splits: launch.splits.unwrap_or_default() };
    let problem = key.problem();
    ScorePlan::new(&problem, logits, fold, candidate.splits)?;
    let reason = space::exclusion(&problem, limits, candidate);
    reason.map_or(Ok(()), |reason| Err(cannot_launch(OPERATION, id, &reason)))
}

pub(super) fn default(key: &ScoreKey, limits: &DeviceLimits) -> Option<(&'static str, Launch)> {
    key.require_supported(OPERATION).ok()?;
    let candidate = space::default_candidate(&key.problem(), limits).ok()?;
    Some((candidate.logits.id, candidate.into()))
}

fn logits(id: &str) -> Option<&'static LogitsVariant> {
    match listed::find(id)?.variant {
        Variant::Logits(variant) => Some(variant),
        _ => None,
    }
}

fn folds(id: &str) -> Option<&'static FoldVariant> {
    match listed::find(id)?.variant {
        Variant::Fold(variant) => Some(variant),
        _ => None,
    }
}
