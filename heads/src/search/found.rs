//! What a search finds, and what it says meanwhile.

use dustin::verifier::Rules;

use crate::{calibration::ModelRole, fidelity::RecoveryRate};

/// Rules that were judged on the searched prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The rules; heads of a map that is not read are left out.
    pub rules: Rules,
    /// What estimating costs, in microseconds of a verification step.
    pub estimation_us: f64,
    /// What the sets keep of the attention.
    pub recovery: RecoveryRate,
    /// The share of full-head estimation that is kept: the quotient of the means.
    pub share: f64,
    /// The lower bound of that share.
    pub share_low: f64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The cheapest candidate that keeps the share asked for; nothing if none does, or if a front was asked
    /// for. It reads unreliable heads only if nothing else that was judged keeps the share; so do all others.
    pub chosen: Option<Candidate>,
    /// The one whose share has the greatest lower bound.
    pub best: Candidate,
    /// The one that the search began with.
    pub start: Candidate,
    /// Those that no other candidate beats in both estimation time and bound of the share: cheapest first, so
    /// that shares ascend.
    pub front: Vec<Candidate>,
    /// The figures of full-head estimation that shares are of: of the space's, those of the largest budget
    /// with which it recovers most. No heads.
    pub reference: Rules,
    /// What full-head estimation keeps with them.
    pub full_heads: RecoveryRate,
    /// How heads did alone, the target's first, best first.
    pub screened: Vec<ScreenedHead>,
    /// Rules that were judged.
    pub evaluations: u32,
    /// Why the search ended.
    pub ended: Ended,
}

/// How a head did alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScreenedHead {
    /// The model that it is of.
    pub model: ModelRole,
    /// Its layer.
    pub layer: u32,
    /// Its number in the layer.
    pub head: u32,
    /// The lower bound of the share that it keeps alone: as the target's map, or as the draft's map.
    pub share_low: f64,
    /// Where it stands on the worst prompts: at 0 with a typical head, at 1 with the best one.
    pub reliability: f64,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing got better any more.
    Converged,
    /// All evaluations were made.
    Evaluations,
    /// The caller stopped it.
    Stopped,
}

/// Where a search stands: said before each evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What it is about.
    pub phase: Phase,
    /// Evaluations made.
    pub evaluations: u32,
    /// The most that there may be; a search that converges makes fewer.
    pub most: u32,
    /// The best candidate so far, by the objective: the cheapest that keeps the share, or else the one with
    /// the greatest share.
    pub best: Option<&'a Candidate>,
}

/// What a search is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The candidate to begin with.
    Start,
    /// Heads alone.
    Screening,
    /// Heads are added one by one.
    Greedy,
    /// Single heads, layers and figures are changed.
    Local,
    /// All candidates in turn.
    Exhaustive,
}
