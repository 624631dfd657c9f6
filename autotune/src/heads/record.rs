//! What a run of `heads` found: the JSON that it prints, and what the report page is drawn from.

use dustin::{
    profile::{
        DeviceId, EstimationCost, HeldOut, LayerHeads, Objective, Recovery, Selection, SelectionProvenance,
    },
    verifier::Rules,
};
use dustin_heads::search::Candidate;
use serde::{Deserialize, Serialize};

use super::{Judgement, Timing, spell};

/// All of it, for one pair of models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeadsRecord {
    /// The target's name.
    pub(crate) target: String,
    /// The draft's.
    pub(crate) draft: String,
    /// The capture's path.
    pub(crate) capture: String,
    /// SHA-256 of the capture.
    pub(crate) calibration_digest: String,
    /// When, RFC 3339.
    pub(crate) date: String,
    /// What ranked the heads of target and draft, where anything did.
    pub(crate) rankings: [Option<String>; 2],
    /// The share that was asked for; nothing if a front was.
    pub(crate) share: Option<f64>,
    /// The confidence of all bounds of shares.
    pub(crate) confidence: f64,
    /// The step whose estimation was timed.
    pub(crate) step: Step,
    /// What the search found, on the searched prompts.
    pub(crate) searched: Searched,
    /// What is so of the choice on the held-out prompts; nothing if none was made.
    pub(crate) held_out: Option<Judgement>,
}

/// The step whose estimation was timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The device.
    pub(crate) device: DeviceId,
    /// Sequences.
    pub(crate) batch: u32,
    /// Confirmed tokens of each.
    pub(crate) context: u32,
    /// Draft tokens of each.
    pub(crate) gamma: u32,
    /// The launches of the choice; of a front, those of the start.
    pub(crate) timings: Vec<Timing>,
    /// Launches that were timed for all candidates together.
    pub(crate) timed: usize,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Searched {
    /// Prompts that candidates were judged on.
    pub(crate) prompts: u32,
    /// Candidates that were judged.
    pub(crate) evaluations: u32,
    /// Why it ended.
    pub(crate) ended: String,
    /// The recovery rate of full-head estimation, which shares are of.
    pub(crate) full_heads: f64,
    /// What it began with.
    pub(crate) start: Point,
    /// What that is called.
    pub(crate) start_name: String,
    /// The cheapest that keeps the share, if one does.
    pub(crate) chosen: Option<Point>,
    /// All that no other beats in both time and share, cheapest first.
    pub(crate) front: Vec<Point>,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// The target's heads.
    pub(crate) target_heads: Vec<LayerHeads>,
    /// The draft's.
    pub(crate) draft_heads: Vec<LayerHeads>,
    /// The budget.
    pub(crate) k: u32,
    /// The draft's quota of it.
    pub(crate) m: u32,
    /// First tokens that are always read.
    pub(crate) sinks: u32,
    /// Last tokens that are always read.
    pub(crate) recent: u32,
    /// Size of the average pooling.
    pub(crate) pooling: u32,
    /// What estimating costs, in microseconds of a step.
    pub(crate) estimation_us: f64,
    /// The recovery rate.
    pub(crate) recovery: f64,
    /// As a share of that of full-head estimation.
    pub(crate) share: f64,
    /// The share's lower bound.
    pub(crate) share_low: f64,
}

impl From<&Candidate> for Point {
    fn from(candidate: &Candidate) -> Self {
        let Rules { k, m, sinks, recent, pooling, .. } = candidate.rules;
        Self {
            target_heads: candidate.rules.target_heads.clone(),
            draft_heads: candidate.rules.draft_heads.clone(),
            k,
            m,
            sinks,
            recent,
            pooling,
            estimation_us: candidate.estimation_us,
            recovery: candidate.recovery.mean(),
            share: candidate.share,
            share_low: candidate.share_low,
        }
    }
}

impl Point {
    /// Its heads in words.
    pub(crate) fn heads(&self) -> String {
        spell(&self.target_heads, &self.draft_heads)
    }
}

impl HeadsRecord {
    /// What a profile keeps of it; nothing where no choice was made.
    pub(crate) fn selection(&self) -> Option<Selection> {
        let (chosen, judged) = (self.searched.chosen.as_ref()?, self.held_out.as_ref()?);
        let rate = judged.chosen()?;
        let Step { device, batch, context, gamma, .. } = &self.step;
        let [target_ranking, draft_ranking] = self.rankings.clone();
        Some(Selection {
            target_model: self.target.clone(),
            draft_model: self.draft.clone(),
            target_heads: chosen.target_heads.clone(),
            draft_heads: chosen.draft_heads.clone(),
            k: chosen.k,
            m: chosen.m,
            sinks: chosen.sinks,
            recent: chosen.recent,
            pooling: chosen.pooling,
            recovery: Some(Recovery { mean: rate.recovery, ci95_low: rate.ci95_low }),
            calibration_digest: Some(self.calibration_digest.clone()),
            provenance: Some(SelectionProvenance {
                date: self.date.clone(),
                crate_version: env!("CARGO_PKG_VERSION").into(),
                target_ranking,
                draft_ranking,
                objective: self.share.map(|share| Objective { share, confidence: self.confidence }),
                held_out: Some(HeldOut {
                    prompts: judged.prompts.len() as u32,
                    gamma: *gamma,
                    share: rate.share,
                    share_low: rate.share_low,
                }),
                cost: Some(EstimationCost {
                    device: device.clone(),
                    estimation_us: chosen.estimation_us,
                    batch: *batch,
                    context: *context,
                }),
            }),
        })
    }

    /// Whether it is what `selection` comes from.
    pub(crate) fn is_of(&self, selection: &Selection) -> bool {
        let date = selection.provenance.as_ref().map(|provenance| provenance.date.as_str());
        selection.pair() == (&self.target, &self.draft)
            && selection.calibration_digest.as_ref() == Some(&self.calibration_digest)
            && date == Some(&self.date)
    }
}
