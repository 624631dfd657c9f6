//! Choices of scoring on the CPU.

use super::unknown;
use crate::{
    InvalidInput,
    cpu::{
        CpuLimits,
        score::{Candidate, VARIANTS, Variant, default_candidate},
    },
    profile::{
        catalogue::require_parameters,
        key::ScoreKey,
        schema::{Choice, Launch},
    },
};

const OPERATION: &str = "scoring on the CPU";

impl From<Candidate> for Launch {
    fn from(candidate: Candidate) -> Self {
        Self { threads: Some(candidate.threads), ..Self::default() }
    }
}

impl Choice {
    /// The candidate of scoring's tuning space on a CPU that this choice names; nothing if it names none. That it may be
    /// launched is for [`Tuned`](crate::profile::Tuned) to say.
    #[must_use]
    pub fn cpu_score(&self) -> Option<Candidate> {
        Some(Candidate { variant: variant(&self.variant)?, threads: self.launch.threads? })
    }
}

pub(super) fn check(
    key: &ScoreKey,
    id: &str,
    launch: &Launch,
    limits: CpuLimits,
) -> Result<(), InvalidInput> {
    key.require_supported(OPERATION)?;
    key.problem().validate()?;
    let variant = variant(id).ok_or_else(|| unknown(OPERATION, id))?;
    require_parameters(OPERATION, launch, &["launch.threads"])?;
    Candidate { variant, threads: launch.threads.unwrap_or_default() }.validate(limits)
}

pub(super) fn default(key: &ScoreKey, limits: CpuLimits) -> Option<(&'static str, Launch)> {
    key.require_supported(OPERATION).ok()?;
    let candidate = default_candidate(&key.problem(), limits).ok()?;
    Some((candidate.variant.id, candidate.into()))
}

pub(super) fn variant(id: &str) -> Option<&'static Variant> {
    VARIANTS.iter().find(|variant| variant.id == id)
}
