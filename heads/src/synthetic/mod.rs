//! Captures made up from a seed, in which it is known which heads find the tokens that matter.
//!
//! Attention of every head has *sinks*, *locality* and noise. In each prompt, *topics* lie at random places, a few tokens each; which of
//! them matter drifts from one decode step to the next, for all heads and both models alike. *Planted* heads attend to them much,
//! ordinary ones little, and to distractions of their own instead. *Decoys* are like planted heads on some of the searched prompts, and
//! like ordinary ones on all others, held-out prompts among them.
//!
//! `plan` is what is asked for, `roles` which heads are planted, `scene` what stands where in a prompt, `layer` queries and keys,
//! `file` the capture.

mod file;
mod layer;
mod plan;
mod roles;
mod scene;

pub use self::{
    plan::{ModelShape, Placement, SyntheticError, SyntheticPlan},
    roles::PlantedHeads,
};
use crate::calibration::{Capture, ModelRole};

/// A capture with what is known of it.
#[derive(Debug)]
pub struct Synthetic {
    /// The capture, as if it had been read from a file.
    pub capture: Capture,
    /// The target's planted heads and decoys.
    pub target: PlantedHeads,
    /// The draft's, if there is one.
    pub draft: Option<PlantedHeads>,
}

impl Synthetic {
    /// Makes the capture that `plan` asks for: the same one for the same plan.
    ///
    /// # Errors
    /// The plan's first field that is not as documented.
    pub fn new(plan: &SyntheticPlan) -> Result<Self, SyntheticError> {
        let bytes = file::bytes(plan)?;
        Ok(Self {
            capture: Capture::from_bytes("synthetic", bytes)?,
            target: roles::choose(plan, ModelRole::Target, &plan.target).heads(&plan.target),
            draft: plan.draft.as_ref().map(|it| roles::choose(plan, ModelRole::Draft, it).heads(it)),
        })
    }
}

impl SyntheticPlan {
    /// The bytes of the capture that [`Synthetic::new`] makes: a safetensors file.
    ///
    /// # Errors
    /// As [`Synthetic::new`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, SyntheticError> {
        file::bytes(self)
    }
}

#[cfg(test)]
pub(crate) mod tests;
