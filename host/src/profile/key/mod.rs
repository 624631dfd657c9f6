//! What a choice is tuned for: the complete tuning key.
//!
//! A key is the device, the measurement policy, and a part of the kernel's own, which says everything that the host knows
//! of a problem and that may change which choice is best, with capacities rounded up to their bucket. What the device
//! alone knows, lengths and the sizes of sets, is no part of it. In the file all of it stands in one table.

mod attention;
mod cache;
mod device;
mod score;
mod select;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

pub use self::{
    attention::AttentionKey,
    device::{ComputeCapability, DeviceId},
    score::ScoreKey,
    select::SelectKey,
    words::{CacheState, IndexSet, KvDtype, KvScale, LaunchMode, Policy},
};
use crate::{
    InvalidInput, attention::problem::AttentionProblem, score::problem::ScoreProblem,
    select::problem::SelectProblem,
};

const OPERATION: &str = "tuning key";

/// The operation that a choice serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// Paged attention over verification sets, windows or whole caches.
    SparseAttention,
    /// Importance maps gathered from semantic retrieval heads.
    SrhScore,
    /// Verification sets selected from importance maps.
    Selection,
}

/// The complete tuning key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Key {
    /// The device's model.
    pub device: DeviceId,
    /// The use that times were taken for.
    pub policy: Policy,
    /// The operation, and what of its problems matters.
    #[serde(flatten)]
    pub kernel: KernelKey,
}

/// An operation, and what of its problems matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(tag = "kernel", rename_all = "snake_case")]
pub enum KernelKey {
    /// Of sparse attention.
    SparseAttention(AttentionKey),
    /// Of scoring.
    SrhScore(ScoreKey),
    /// Of selection.
    Selection(SelectKey),
}

impl Key {
    /// The key of the bucket that a problem falls into, on `device`, for the use that `policy` names.
    #[must_use]
    pub fn of(problem: impl Into<KernelKey>, device: &DeviceId, policy: Policy) -> Self {
        Self { device: device.clone(), policy, kernel: problem.into() }
    }

    /// Checks that it is one that a valid problem can have: any other would never be asked for.
    ///
    /// # Errors
    /// The first field that no valid problem has.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        match &self.kernel {
            KernelKey::SparseAttention(key) => key.validate(),
            KernelKey::SrhScore(key) => key.validate(),
            KernelKey::Selection(key) => key.validate(),
        }
    }
}

impl Policy {
    /// The use that choices for `kernel` on `device` are measured for. On a GPU launches are replayed from a graph; attention and
    /// scoring find nothing of their inputs in the cache, selection finds the maps, which were written just before. A CPU
    /// runs them one by one, and warm.
    #[must_use]
    pub const fn of(kernel: Kernel, device: &DeviceId) -> Self {
        let (launch, l2) = match kernel {
            _ if !device.is_gpu() => (LaunchMode::Eager, CacheState::Warm),
            Kernel::SparseAttention | Kernel::SrhScore => (LaunchMode::Graph, CacheState::Cold),
            Kernel::Selection => (LaunchMode::Graph, CacheState::Warm),
        };
        Self { launch, l2 }
    }
}

impl KernelKey {
    /// The operation.
    #[must_use]
    pub const fn kernel(&self) -> Kernel {
        match self {
            Self::SparseAttention(_) => Kernel::SparseAttention,
            Self::SrhScore(_) => Kernel::SrhScore,
            Self::Selection(_) => Kernel::Selection,
        }
    }
}

impl From<&AttentionProblem> for KernelKey {
    fn from(problem: &AttentionProblem) -> Self {
        Self::SparseAttention(problem.into())
    }
}

impl From<&ScoreProblem> for KernelKey {
    fn from(problem: &ScoreProblem) -> Self {
        Self::SrhScore(problem.into())
    }
}

impl From<&SelectProblem> for KernelKey {
    fn from(problem: &SelectProblem) -> Self {
        Self::Selection(problem.into())
    }
}

/// Writes the fields in the order of the file, on which certificates depend: device, kernel, policy, and the rest.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Rest<'a> {
            Attention(&'a AttentionKey),
            Score(&'a ScoreKey),
            Select(&'a SelectKey),
        }

        #[derive(Serialize)]
        struct Fields<'a> {
            device: &'a DeviceId,
            kernel: Kernel,
            policy: Policy,
            #[serde(flatten)]
            rest: Rest<'a>,
        }

        let rest = match &self.kernel {
            KernelKey::SparseAttention(key) => Rest::Attention(key),
            KernelKey::SrhScore(key) => Rest::Score(key),
            KernelKey::Selection(key) => Rest::Select(key),
        };
        Fields { device: &self.device, kernel: self.kernel.kernel(), policy: self.policy, rest }
            .serialize(serializer)
    }
}

/// A summary for messages; not unique.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.kernel.kernel())?;
        match &self.kernel {
            KernelKey::SparseAttention(key) => key.fmt(f),
            KernelKey::SrhScore(key) => key.fmt(f),
            KernelKey::Selection(key) => key.fmt(f),
        }?;
        write!(f, ", {:?} {:?}, on {}", self.policy.launch, self.policy.l2, self.device.name)
    }
}

/// Refuses a capacity that is no bucket's upper end.
fn require_ends(fields: impl IntoIterator<Item = (&'static str, u32, u32)>) -> Result<(), InvalidInput> {
    match fields.into_iter().find(|(_, actual, end)| actual != end) {
        Some((field, actual, end)) => {
            let required = format!("a bucket's upper end, such as {end}");
            Err(InvalidInput::new(OPERATION, field, required, actual))
        }
        None => Ok(()),
    }
}
