//! What is asked of a search.

use dustin::verifier::Rules;

use super::SearchSpace;
use crate::{
    calibration::{CalibrationError, Capture, ModelRole},
    fidelity::Bound,
    ranking::HeadRanking,
};

/// A search that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRequest {
    /// What may be chosen.
    pub space: SearchSpace,
    /// What is to be found.
    pub objective: Objective,
    /// Where the search begins.
    pub start: Start,
    /// How candidates are gone through.
    pub method: Method,
    /// By how much a head has to be better than a typical one, 0, on practically every searched prompt, in
    /// parts of what the best ones are, 1; each looked at alone. Heads that are not are good on some prompts
    /// only, or on none: they are chosen only if no others keep the share. Without it, all heads are alike.
    pub reliability: Option<f64>,
    /// The most rules that are judged, at least 1; heads that are looked at alone count, full-head estimation
    /// does not.
    pub evaluations: u32,
    /// How the lower bounds are computed that decide, their confidence among it.
    pub bound: Bound,
    /// Where random numbers of the search begin.
    pub seed: u64,
}

impl SearchRequest {
    /// The cheapest rules of `space` that keep `share` of full-head estimation: from the paper's recipe on,
    /// in at most 4,000 evaluations, at a confidence of 95 %.
    #[must_use]
    pub fn share(space: SearchSpace, share: f64) -> Self {
        Self {
            space,
            objective: Objective::Share(share),
            start: Start::Recipe,
            method: Method::Guided,
            reliability: Some(0.1),
            evaluations: 4000,
            bound: Bound { resamples: 1000, ..Bound::default() },
            seed: 0,
        }
    }
}

/// What is to be found. Shares are of the recovery rate of full-head estimation; what decides is their lower
/// bound over the searched prompts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// The least estimation time at which at least this share is kept, above 0. It may exceed 1, as few good
    /// heads recover more than all.
    Share(f64),
    /// All that no other candidate beats in both estimation time and share.
    Front,
}

/// Where a search begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The paper's published recipe: 4 heads of one target layer and 4 heads of each of three draft layers,
    /// half of the budget from the draft's map. The layers and heads are the ranking's best, or those that
    /// are best alone; where the space allows fewer, they are fewer.
    Recipe,
    /// As many heads of each model as the recipe has, the best ones of all layers.
    Ranking,
    /// These, which must lie within the space.
    Rules(Rules),
}

/// How candidates are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Greedy addition, then descents from what it found, until nothing gets better.
    Guided,
    /// One after another, all that read heads which are reliable enough; refused where there are more than
    /// evaluations.
    Exhaustive,
}

/// The rankings that a search is seeded by. Without them, heads are ranked by what they recover alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rankings {
    /// Of the target's heads.
    pub target: Option<HeadRanking>,
    /// Of the draft's.
    pub draft: Option<HeadRanking>,
}

impl Rankings {
    /// The capture's own; those that say nothing are left out.
    ///
    /// # Errors
    /// Scores cannot be read, or are not finite.
    pub fn of_capture(capture: &Capture) -> Result<Self, CalibrationError> {
        let known = |role| {
            let ranking = HeadRanking::of_capture(capture, role)?;
            Ok::<_, CalibrationError>(ranking.filter(|ranking| !ranking.is_all_zero()))
        };
        let draft = capture.metadata().draft.is_some();
        Ok(Self {
            target: known(ModelRole::Target)?,
            draft: if draft { known(ModelRole::Draft)? } else { None },
        })
    }

    pub(super) const fn of(&self, role: ModelRole) -> Option<&HeadRanking> {
        match role {
            ModelRole::Target => self.target.as_ref(),
            ModelRole::Draft => self.draft.as_ref(),
        }
    }
}
