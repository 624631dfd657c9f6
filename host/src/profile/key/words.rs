//! The words that keys are written in.

use dustin_kernels::registry::Dtype;
use serde::{Deserialize, Serialize};

use crate::{attention::problem::Mask, kv::KvLayout, select::problem::Maps};

/// How launches are issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchMode {
    /// Replayed from a CUDA graph.
    #[default]
    Graph,
    /// Issued one by one.
    Eager,
}

/// What the last-level cache holds when a launch begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheState {
    /// Nothing of the inputs.
    #[default]
    Cold,
    /// The inputs, as far as they fit.
    Warm,
}

/// The measurement policy: the use that times were taken for. What wins eagerly or warm may lose in a graph or cold,
/// so the policy is part of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// How launches are issued.
    pub launch: LaunchMode,
    /// What the last-level cache holds.
    pub l2: CacheState,
}

/// The element type of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvDtype {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
    /// 8-bit floating point, 4 bits of exponent and 3 of mantissa.
    Fp8E4m3,
}

impl From<Dtype> for KvDtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Bf16 => Self::Bf16,
            Dtype::F16 => Self::F16,
        }
    }
}

/// How the items of the KV cache are scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvScale {
    /// Not at all.
    #[default]
    None,
    /// By one factor for all keys and one for all values.
    PerTensor,
    /// By one factor for each KV head.
    PerHead,
}

/// The confirmed tokens that attention reads. The form of a set's entries does not matter, nor whether all layers share the sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexSet {
    /// Those of one set for each sequence.
    #[default]
    PerSequence,
    /// Those of a set for each KV head of a sequence.
    PerKvHead,
    /// The sequence's first and last.
    Window,
    /// All.
    Everything,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mask", rename_all = "snake_case")]
pub(super) enum MaskWord {
    Causal,
    Tree,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Dtype", rename_all = "snake_case")]
pub(super) enum DtypeWord {
    Bf16,
    F16,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "KvLayout", rename_all = "snake_case")]
pub(super) enum LayoutWord {
    Nhd,
    Hnd,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Maps", rename_all = "snake_case")]
pub(super) enum MapsWord {
    Target,
    Draft,
    Both,
    Neither,
}
