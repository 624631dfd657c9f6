//! The words that keys are written in.

use dustin_kernels::registry::Dtype;
use serde::{Deserialize, Serialize};

use crate::{kv::KvLayout, select::problem::Maps};

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

/// What shares one verification set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexSet {
    /// A sequence, in all layers.
    #[default]
    PerSequence,
    /// A layer of a sequence.
    PerLayer,
    /// A KV head of a layer of a sequence.
    PerKvHead,
}

/// Which of the step's own rows a row sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Itself and the earlier ones.
    #[default]
    Causal,
    /// Those that its 64-bit mask names.
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
