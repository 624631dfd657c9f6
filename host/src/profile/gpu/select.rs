//! Choices of selection on a GPU.

use dustin_kernels::registry::SelectVariant;

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
        key::SelectKey,
        schema::{Choice, Launch},
    },
    select::{
        launch::SelectPlan,
        space::{self, Candidate},
    },
};

const OPERATION: &str = "selection on a GPU";

impl From<Candidate> for Launch {
    fn from(candidate: Candidate) -> Self {
        Self { cluster: Some(candidate.cluster), ..Self::default() }
    }
}

impl Choice {
    /// The candidate of selection's tuning space on a GPU that this choice names; nothing if it names none. That it may
    /// be launched is for [`Tuned`](crate::profile::Tuned) to say.
    #[must_use]
    pub fn gpu_selection(&self) -> Option<Candidate> {
        Some(Candidate { variant: variant(&self.variant)?, cluster: self.launch.cluster? })
    }
}

pub(super) fn check(
    key: &SelectKey,
    id: &str,
    launch: &Launch,
    limits: &DeviceLimits,
) -> Result<(), InvalidInput> {
    key.require_supported()?;
    let variant = variant(id).ok_or_else(|| unknown(OPERATION, id))?;
    require_parameters(OPERATION, launch, &["launch.cluster"])?;
    let candidate = Candidate { variant, cluster: launch.cluster.unwrap_or_default() };
    let problem = key.problem();
    SelectPlan::new(&problem, variant, candidate.cluster)?;
    let reason = space::exclusion(&problem, limits, candidate);
    reason.map_or(Ok(()), |reason| Err(cannot_launch(OPERATION, id, &reason)))
}

pub(super) fn default(key: &SelectKey, limits: &DeviceLimits) -> Option<(&'static str, Launch)> {
    key.require_supported().ok()?;
    let candidate = space::default_candidate(&key.problem(), limits).ok()?;
    Some((candidate.variant.id, candidate.into()))
}

fn variant(id: &str) -> Option<&'static SelectVariant> {
    match listed::find(id)?.variant {
        Variant::Select(variant) => Some(variant),
        _ => None,
    }
}
