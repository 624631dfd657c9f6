//! A verifier on a GPU, as far as it is pure: the plan of each stage, one workspace for all, and addresses from a step's arrays to
//! each stage's launch.

mod accept;
mod buffers;
mod memory;
mod plan;
mod workspace;

pub use self::{
    accept::{AcceptanceBuffers, AcceptedBuffers, CaptureRows},
    buffers::{AppendRows, AttentionRows, DraftBuffers, StepBuffers},
    memory::EngineMemory,
    plan::VerifierPlan,
    workspace::{Part, WorkspaceLayout},
};
