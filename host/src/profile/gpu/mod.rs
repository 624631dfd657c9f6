//! The GPU's variants as a catalogue.

mod attention;
mod listed;
mod score;
mod select;

use std::borrow::Cow;

use super::{
    catalogue::{Catalogue, Known},
    key::{KernelKey, Key},
    schema::{Choice, Launch},
};
use crate::{
    InvalidInput,
    limits::{DeviceLimits, Reason},
};

/// The variants of this build on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuCatalogue {
    /// What bounds a launch on it.
    pub limits: DeviceLimits,
}

impl Catalogue for GpuCatalogue {
    fn variant(&self, key: &Key, id: &str) -> Option<Known<'_>> {
        let listed = listed::find(id)?;
        let serves = key.device.is_gpu() && listed.variant.kernel() == key.kernel.kernel();
        serves.then(|| Known {
            revision: listed.variant.revision(),
            ptx_digest: listed.digest().map(Cow::Borrowed),
        })
    }

    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput> {
        match &key.kernel {
            KernelKey::SparseAttention(key) => attention::check(key, id, launch, &self.limits),
            KernelKey::SrhScore(key) => score::check(key, id, launch, &self.limits),
            KernelKey::Selection(key) => select::check(key, id, launch, &self.limits),
        }
    }

    fn default(&self, key: &Key) -> Option<Choice> {
        if !key.device.is_gpu() {
            return None;
        }
        let (id, launch) = match &key.kernel {
            KernelKey::SparseAttention(key) => attention::default(key, &self.limits),
            KernelKey::SrhScore(key) => score::default(key, &self.limits),
            KernelKey::Selection(key) => select::default(key, &self.limits),
        }?;
        self.bind(key, id, &launch).ok()
    }
}

/// Refuses a variant id on behalf of `operation`.
fn unknown(operation: &'static str, id: &str) -> InvalidInput {
    InvalidInput::new(operation, "variant", "one of this build's for a GPU", format!("{id:?}"))
}

/// Refuses a choice that the GPU cannot launch, for the `reason` given.
fn cannot_launch(operation: &'static str, id: &str, reason: &Reason) -> InvalidInput {
    let actual = format!("{id:?}, which {reason}");
    InvalidInput::new(operation, "variant", "one that this GPU can launch", actual)
}
