//! Choices of attention on the CPU.

use super::unknown;
use crate::{
    InvalidInput,
    cpu::{CpuCandidate, CpuLimits, CpuVariant, VARIANTS, default_candidate},
    profile::{
        catalogue::require_parameters,
        key::AttentionKey,
        schema::{Choice, Launch},
    },
};

const OPERATION: &str = "paged attention on the CPU";

impl From<CpuCandidate> for Launch {
    fn from(candidate: CpuCandidate) -> Self {
        let CpuCandidate { splits, threads, .. } = candidate;
        Self { splits: Some(splits), threads: Some(threads), ..Self::default() }
    }
}

impl Choice {
    /// The candidate of sparse attention's tuning space on a CPU that this choice names; nothing if it names none. That it may be
    /// launched is for [`Tuned`](crate::profile::Tuned) to say.
    #[must_use]
    pub fn cpu_attention(&self) -> Option<CpuCandidate> {
        let Launch { splits: Some(splits), threads: Some(threads), .. } = self.launch else { return None };
        Some(CpuCandidate { variant: variant(&self.variant)?, threads, splits })
    }
}

pub(super) fn check(
    key: &AttentionKey,
    id: &str,
    launch: &Launch,
    limits: CpuLimits,
) -> Result<(), InvalidInput> {
    key.require_supported(OPERATION)?;
    key.problem().validate()?;
    let variant = variant(id).ok_or_else(|| unknown(OPERATION, id))?;
    require_parameters(OPERATION, launch, &["launch.splits", "launch.threads"])?;
    let (threads, splits) = (launch.threads.unwrap_or_default(), launch.splits.unwrap_or_default());
    CpuCandidate { variant, threads, splits }.validate(limits)
}

pub(super) fn default(key: &AttentionKey, limits: CpuLimits) -> Option<(&'static str, Launch)> {
    key.require_supported(OPERATION).ok()?;
    let candidate = default_candidate(&key.problem(), limits).ok()?;
    Some((candidate.variant.id, candidate.into()))
}

pub(super) fn variant(id: &str) -> Option<&'static CpuVariant> {
    VARIANTS.iter().find(|variant| variant.id == id)
}
