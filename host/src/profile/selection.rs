//! Selections: which heads of a pair of models score, how the budget is shared, and where that comes from.

use serde::{Deserialize, Serialize};

use super::{key::DeviceId, validate};
use crate::InvalidInput;

/// Head subsets and budgets of one pair of models, as the selection part of the method needs them.
///
/// What a selection keeps is known if it was judged on calibration data. One that was not, as heads taken over from a published ranking,
/// is *uncalibrated*: it has neither recovery nor digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The target model.
    pub target_model: String,
    /// The draft model.
    pub draft_model: String,
    /// The target's layers and query heads that score; may be none where what is always read, and the quota, leave its map nothing to
    /// decide.
    pub target_heads: Vec<LayerHeads>,
    /// The draft's layers and query heads that score; may be none likewise, as with m = 0.
    pub draft_heads: Vec<LayerHeads>,
    /// The budget: confirmed tokens read per sequence, sinks and recent tokens included.
    pub k: u32,
    /// Tokens of the budget that come from the draft's map first.
    pub m: u32,
    /// First tokens of the sequence that are always read.
    pub sinks: u32,
    /// Last tokens of the sequence that are always read.
    pub recent: u32,
    /// Size of the average pooling of a map, odd; 1 is none.
    pub pooling: u32,
    /// Share of the full attention that the selected tokens received, on calibration prompts that nothing was chosen by; nothing if
    /// nobody has judged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// SHA-256 of the calibration data, in hexadecimal; nothing if there is no recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_digest: Option<String>,
    /// Where all this comes from; unknown of selections of schema version 2, and of those that a person wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<SelectionProvenance>,
}

impl Selection {
    /// The names of its models: a profile has one selection for each pair.
    #[must_use]
    pub fn pair(&self) -> (&str, &str) {
        (&self.target_model, &self.draft_model)
    }

    /// Checks what a reader of a profile checks: budgets that fit each other, heads in order, figures that can be.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        validate::selection(self)
    }

    /// Whether it was judged on calibration data.
    #[must_use]
    pub const fn is_calibrated(&self) -> bool {
        self.recovery.is_some()
    }
}

/// Query heads of one layer, numbered over the whole model whatever the tensor parallelism.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerHeads {
    /// The layer.
    pub layer: u32,
    /// The heads, ascending.
    pub heads: Vec<u32>,
}

/// Attention recovery: 1 is all of the attention.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Mean over the calibration data.
    pub mean: f64,
    /// Lower end of the mean's 95 % confidence interval.
    pub ci95_low: f64,
}

/// Where a selection comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionProvenance {
    /// When it was chosen, RFC 3339.
    pub date: String,
    /// Version of this crate.
    pub crate_version: String,
    /// What ranked the target's heads, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ranking: Option<String>,
    /// What ranked the draft's heads, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft_ranking: Option<String>,
    /// What was searched for; nothing if nothing was searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// How near it comes to full-head estimation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<EstimationCost>,
}

/// The least estimation time of all selections whose recovery is, with this confidence, at least this share of what estimation by all
/// heads of the target recovers with the same budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// The share, above 0.
    pub share: f64,
    /// The confidence, above 0.5 and below 1.
    pub confidence: f64,
}

/// What was found on the prompts that nothing was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// How many prompts.
    pub prompts: u32,
    /// Draft tokens of a step.
    pub gamma: u32,
    /// The share of full-head estimation.
    pub share: f64,
    /// The share's lower bound, with the objective's confidence.
    pub share_low: f64,
}

/// The measured time of estimation: gathering the maps, and choosing the sets from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EstimationCost {
    /// The device that it was measured on.
    pub device: DeviceId,
    /// Microseconds for a step, all launches one after the other.
    pub estimation_us: f64,
    /// Sequences of the step.
    pub batch: u32,
    /// Confirmed tokens of each.
    pub context: u32,
}
