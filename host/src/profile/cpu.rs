//! The CPU back end's variants as a catalogue.

use super::{
    catalogue::{Catalogue, Known, contract},
    key::{Kernel, Key},
    schema::{Choice, Launch},
};
use crate::{
    InvalidInput,
    cpu::{CpuCandidate, CpuLimits, CpuVariant, VARIANTS, default_candidate},
};

const OPERATION: &str = "sparse attention on the CPU";

/// The attention variants of this build on one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuCatalogue {
    /// What bounds a launch on it.
    pub limits: CpuLimits,
}

impl Choice {
    /// The choice of a candidate of the CPU's tuning space.
    #[must_use]
    pub fn cpu(candidate: CpuCandidate) -> Self {
        Self {
            variant: candidate.variant.id.into(),
            revision: candidate.variant.revision,
            ptx_digest: None,
            launch: Launch { splits: Some(candidate.splits), threads: Some(candidate.threads) },
        }
    }

    /// The candidate of the CPU's tuning space that this choice names; nothing if it names none. That it may be
    /// launched is for [`Tuned`](super::Tuned) to say.
    #[must_use]
    pub fn cpu_candidate(&self) -> Option<CpuCandidate> {
        let Launch { splits, threads } = self.launch;
        Some(CpuCandidate { variant: named(&self.variant)?, threads: threads?, splits: splits? })
    }
}

impl Catalogue for CpuCatalogue {
    fn variant(&self, key: &Key, id: &str) -> Option<Known<'_>> {
        find(key, id).map(|variant| Known { revision: variant.revision, ptx_digest: None })
    }

    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput> {
        let error = |field, required| Err(InvalidInput::new(OPERATION, field, required, "absent"));
        contract(OPERATION, key)?;
        key.problem().validate()?;
        let Some(variant) = find(key, id) else {
            let required = "one of this build's for a CPU";
            return Err(InvalidInput::new(OPERATION, "variant", required, format!("{id:?}")));
        };
        match *launch {
            Launch { splits: None, .. } => error("launch.splits", "given"),
            Launch { threads: None, .. } => error("launch.threads", "given"),
            Launch { splits: Some(splits), threads: Some(threads) } => {
                CpuCandidate { variant, threads, splits }.validate(self.limits)
            }
        }
    }

    fn default(&self, key: &Key) -> Option<Choice> {
        if key.device.is_gpu() {
            return None;
        }
        contract(OPERATION, key).ok()?;
        default_candidate(&key.problem(), self.limits).ok().map(Choice::cpu)
    }
}

fn find(key: &Key, id: &str) -> Option<&'static CpuVariant> {
    match key.kernel {
        Kernel::SparseAttention if !key.device.is_gpu() => named(id),
        Kernel::SparseAttention => None,
    }
}

fn named(id: &str) -> Option<&'static CpuVariant> {
    VARIANTS.iter().find(|variant| variant.id == id)
}
