//! The CPU back end's variants as a catalogue.

mod attention;
mod score;
mod select;

use super::{
    catalogue::{Catalogue, Known},
    key::{KernelKey, Key},
    schema::{Choice, Launch},
};
use crate::{InvalidInput, cpu::CpuLimits};

/// The variants of this build on one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuCatalogue {
    /// What bounds a launch on it.
    pub limits: CpuLimits,
}

impl Catalogue for CpuCatalogue {
    fn variant(&self, key: &Key, id: &str) -> Option<Known<'_>> {
        if key.device.is_gpu() {
            return None;
        }
        let revision = match &key.kernel {
            KernelKey::SparseAttention(_) => attention::variant(id)?.revision,
            KernelKey::SrhScore(_) => score::variant(id)?.revision,
            KernelKey::Selection(_) => select::variant(id)?.revision,
        };
        Some(Known { revision, ptx_digest: None })
    }

    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput> {
        match &key.kernel {
            KernelKey::SparseAttention(key) => attention::check(key, id, launch, self.limits),
            KernelKey::SrhScore(key) => score::check(key, id, launch, self.limits),
            KernelKey::Selection(key) => select::check(key, id, launch, self.limits),
        }
    }

    fn default(&self, key: &Key) -> Option<Choice> {
        if key.device.is_gpu() {
            return None;
        }
        let (id, launch) = match &key.kernel {
            KernelKey::SparseAttention(key) => attention::default(key, self.limits),
            KernelKey::SrhScore(key) => score::default(key, self.limits),
            KernelKey::Selection(key) => select::default(key, self.limits),
        }?;
        self.bind(key, id, &launch).ok()
    }
}

/// Refuses a variant id on behalf of `operation`.
fn unknown(operation: &'static str, id: &str) -> InvalidInput {
    InvalidInput::new(operation, "variant", "one of this build's for a CPU", format!("{id:?}"))
}
