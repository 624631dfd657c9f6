//! The GPU's variants as a catalogue.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{LazyLock, OnceLock},
};

use dustin_kernels::registry::{ATTENTION, AttentionVariant};

use super::{
    catalogue::{Catalogue, Known, contract},
    key::{Kernel, Key},
    schema::{Choice, Launch},
};
use crate::{
    InvalidInput,
    attention::{
        launch::AttentionPlan,
        space::{self, Candidate},
    },
    limits::DeviceLimits,
};

const OPERATION: &str = "sparse attention on a GPU";

/// The attention variants of this build on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuCatalogue {
    /// What bounds a launch on it.
    pub limits: DeviceLimits,
}

impl Choice {
    /// The choice of a candidate of the GPU's tuning space.
    #[must_use]
    pub fn gpu(candidate: Candidate) -> Self {
        Self {
            variant: candidate.variant.id.into(),
            revision: candidate.variant.revision,
            ptx_digest: digest(candidate.variant).map(Into::into),
            launch: Launch { splits: Some(candidate.splits), threads: None },
        }
    }

    /// The candidate of the GPU's tuning space that this choice names; nothing if it names none. That it may be
    /// launched is for [`Tuned`](super::Tuned) to say.
    #[must_use]
    pub fn gpu_candidate(&self) -> Option<Candidate> {
        Some(Candidate { variant: BY_ID.get(self.variant.as_str())?.variant, splits: self.launch.splits? })
    }
}

impl Catalogue for GpuCatalogue {
    fn variant(&self, key: &Key, id: &str) -> Option<Known<'_>> {
        let variant = find(key, id)?;
        Some(Known { revision: variant.revision, ptx_digest: digest(variant).map(Cow::Borrowed) })
    }

    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput> {
        let error = |field, required: &str, actual: String| {
            Err(InvalidInput::new(OPERATION, field, required, actual))
        };
        contract(OPERATION, key)?;
        let Some(variant) = find(key, id) else {
            return error("variant", "one of this build's for a GPU", format!("{id:?}"));
        };
        if let Some(threads) = launch.threads {
            return error("launch.threads", "absent", threads.to_string());
        }
        let Some(splits) = launch.splits else {
            return error("launch.splits", "given", "absent".into());
        };
        let problem = key.problem();
        AttentionPlan::new(&problem, variant, splits)?;
        match space::exclusion(&problem, &self.limits, Candidate { variant, splits }) {
            Some(reason) => {
                error("variant", "one that this GPU can launch", format!("{id:?}, which {reason}"))
            }
            None => Ok(()),
        }
    }

    fn default(&self, key: &Key) -> Option<Choice> {
        if !key.device.is_gpu() {
            return None;
        }
        contract(OPERATION, key).ok()?;
        space::default_candidate(&key.problem(), &self.limits).ok().map(Choice::gpu)
    }
}

struct Listed {
    variant: &'static AttentionVariant,
    digest: OnceLock<Option<String>>,
}

/// The registry by id. Hashing a variant's PTX takes longer than reading its entry, so it is done once and only for
/// variants that a profile names.
static BY_ID: LazyLock<HashMap<&'static str, Listed>> = LazyLock::new(|| {
    ATTENTION.iter().map(|variant| (variant.id, Listed { variant, digest: OnceLock::new() })).collect()
});

fn find(key: &Key, id: &str) -> Option<&'static AttentionVariant> {
    match key.kernel {
        Kernel::SparseAttention if key.device.is_gpu() => BY_ID.get(id).map(|listed| listed.variant),
        Kernel::SparseAttention => None,
    }
}

fn digest(variant: &AttentionVariant) -> Option<&'static str> {
    BY_ID.get(variant.id)?.digest.get_or_init(|| variant.ptx.digest()).as_deref()
}
