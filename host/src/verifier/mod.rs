//! The verifier: one step's stages from one plan. What a caller asks, what it comes down to, and which choices serve it; the
//! devices launch it ([`cuda::Verifier`](crate::cuda::Verifier), [`cpu::CpuVerifier`](crate::cpu::CpuVerifier)).
//!
//! A step of a batch, whose sequences have `len` confirmed tokens each, is
//!
//! 1. [score](Stage::TargetScore) the target's map, while the draft model drafts, from the query captured in the step before;
//!    [capture](Stage::DraftCapture) the queries of the draft's forwards, and [score](Stage::DraftScore) the draft's map from them;
//! 2. where ranks share the models: sum the packed maps over the ranks, the **one point for the caller's collective**;
//! 3. [select](Stage::Selection) a set for each sequence, which serves all layers;
//! 4. in each layer [append](Stage::Append) the step's own rows and [attend](Stage::Attention) to the set and to them, or to
//!    [all tokens](Stage::FullAttention);
//! 5. [accept](Stage::Acceptance) drafts by the scores of the last layer's rows, unless the engine does; [compact](Stage::Compaction)
//!    the accepted rows, and [capture](Stage::TargetCapture) the query of the last of them for the next step.
//!
//! | module | what it holds |
//! |---|---|
//! | [`problem`] | what a caller asks: models, limits |
//! | [`rules`] | how sets are chosen: heads, budgets, exceptions |
//! | [`stages`] | the problem of each stage |
//! | [`captured`] | where captured queries lie |
//! | [`sizes`] | the arrays that a caller brings |
//! | [`report`] | which choice serves each stage, and why |
//! | [`launch`] | on a GPU: plans, workspace, addresses |

pub mod captured;
pub mod launch;
pub mod problem;
pub mod report;
pub(crate) mod role;
pub mod rules;
pub mod sizes;
pub mod stages;

pub use self::{
    captured::{Captured, CapturedLayer},
    launch::{
        AcceptanceBuffers, AcceptedBuffers, AppendRows, AttentionRows, CaptureRows, DraftBuffers,
        EngineMemory, StepBuffers, VerifierPlan,
    },
    problem::{Acceptance, Draft, DraftCache, Limits, Model, VerifierProblem},
    report::{Chosen, Report, Served},
    rules::Rules,
    sizes::Sizes,
    stages::{Gather, Stage, Stages},
};

const OPERATION: &str = "verifier";

#[cfg(test)]
mod tests;
