//! What a choice is tuned for: the complete tuning key.

use std::fmt;

use dustin_kernels::registry::Dtype;
use serde::{Deserialize, Serialize};

use super::bucket;
use crate::{
    attention::problem::AttentionProblem,
    kv::{KvLayout, PagedKv},
};

/// A compute capability, written `9.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComputeCapability {
    /// The part before the dot.
    pub major: u32,
    /// The part behind the dot.
    pub minor: u32,
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl From<ComputeCapability> for String {
    fn from(capability: ComputeCapability) -> Self {
        capability.to_string()
    }
}

impl TryFrom<String> for ComputeCapability {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }))
            .ok_or_else(|| format!("a compute capability must read like \"9.0\", but is {text:?}"))
    }
}

/// The model of a device; two devices of one model share their choices.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceId {
    /// The name as the driver or the operating system gives it, such as `NVIDIA H200`.
    pub name: String,
    /// The compute capability of a GPU; a CPU has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<ComputeCapability>,
}

impl DeviceId {
    /// A GPU.
    #[must_use]
    pub fn gpu(name: impl Into<String>, major: u32, minor: u32) -> Self {
        Self { name: name.into(), compute_capability: Some(ComputeCapability { major, minor }) }
    }

    /// A CPU.
    #[must_use]
    pub fn cpu(name: impl Into<String>) -> Self {
        Self { name: name.into(), compute_capability: None }
    }

    /// Whether it is a GPU.
    #[must_use]
    pub const fn is_gpu(&self) -> bool {
        self.compute_capability.is_some()
    }
}

/// The operation that a choice serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// Gather-based paged attention over verification sets.
    SparseAttention,
}

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
enum DtypeWord {
    Bf16,
    F16,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "KvLayout", rename_all = "snake_case")]
enum LayoutWord {
    Nhd,
    Hnd,
}

/// The complete tuning key: everything that the host knows and that may change which choice is best, with capacities
/// rounded up to their bucket.
///
/// Lengths and set sizes are known to the device alone and so are no part of it; neither is `total_rows`, which only
/// says how much of `batch · rows` is in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The device's model.
    pub device: DeviceId,
    /// The operation.
    pub kernel: Kernel,
    /// The use that times were taken for.
    pub policy: Policy,
    /// Element type of queries and outputs.
    #[serde(with = "DtypeWord")]
    pub dtype: Dtype,
    /// Element type of keys and values.
    pub kv_dtype: KvDtype,
    /// Scaling of keys and values.
    pub kv_scale: KvScale,
    /// Items in a head.
    pub head_dim: u32,
    /// Query heads of this rank.
    pub query_heads: u32,
    /// KV heads of this rank.
    pub kv_heads: u32,
    /// Order of a page's items.
    #[serde(with = "LayoutWord")]
    pub layout: KvLayout,
    /// Tokens in a page.
    pub page_size: u32,
    /// Sequences in the batch: a bucket's upper end ([`bucket::batch`]).
    pub batch: u32,
    /// Query rows of one sequence: a bucket's upper end ([`bucket::rows`]).
    pub rows: u32,
    /// Positions of one sequence's set (the budget k): a bucket's upper end ([`bucket::set_capacity`]).
    pub set_capacity: u32,
    /// Tokens that one sequence's block table can hold: a power of two ([`bucket::length_class`]).
    pub length_class: u32,
    /// What shares one verification set.
    pub index_set: IndexSet,
    /// Mask on the step's own rows.
    pub mask: Mask,
    /// Whether the log-sum-exp is asked for.
    pub lse: bool,
}

impl Key {
    /// The key of the bucket that `problem` falls into, on `device`, for the use that `policy` names.
    #[must_use]
    pub fn of(problem: &AttentionProblem, device: &DeviceId, policy: Policy) -> Self {
        let tokens = u64::from(problem.table_width) * u64::from(problem.kv.page_size);
        Self {
            device: device.clone(),
            kernel: Kernel::SparseAttention,
            policy,
            dtype: problem.dtype,
            kv_dtype: problem.dtype.into(),
            kv_scale: KvScale::None,
            head_dim: problem.kv.head_dim,
            query_heads: problem.query_heads,
            kv_heads: problem.kv.kv_heads,
            layout: problem.kv.layout(),
            page_size: problem.kv.page_size,
            batch: bucket::batch(problem.batch),
            rows: bucket::rows(problem.rows),
            set_capacity: bucket::set_capacity(problem.set_capacity),
            length_class: bucket::length_class(tokens),
            index_set: IndexSet::PerSequence,
            mask: Mask::Causal,
            lse: problem.lse,
        }
    }

    /// The largest problem of the bucket, as far as a problem can say: a choice that serves it serves them all.
    /// The key must be valid.
    pub(super) fn problem(&self) -> AttentionProblem {
        let page_size = self.page_size.max(1);
        let table_width = (self.length_class / page_size).clamp(1, i32::MAX as u32 / page_size);
        let (batch, rows) = (self.batch, self.rows.min(64));
        AttentionProblem {
            batch,
            rows,
            total_rows: batch * rows,
            set_capacity: self.set_capacity.min(table_width * page_size),
            query_heads: self.query_heads,
            kv: PagedKv::dense(self.layout, 1, page_size, self.kv_heads, self.head_dim),
            table_width,
            dtype: self.dtype,
            lse: self.lse,
        }
    }

    /// Query heads that share one KV head; 0 if there are no KV heads.
    #[must_use]
    pub const fn group(&self) -> u32 {
        match self.query_heads.checked_div(self.kv_heads) {
            Some(group) => group,
            None => 0,
        }
    }
}

/// A summary for messages; not unique.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, dtype, kv_dtype, head_dim, query_heads, kv_heads, layout, .. } = self;
        write!(
            f,
            "{kernel:?} {dtype:?}/{kv_dtype:?} d{head_dim}, {query_heads}/{kv_heads} heads, {layout:?}"
        )?;
        let Self { page_size, batch, rows, set_capacity, length_class, mask, lse, policy, device, .. } = self;
        write!(f, ", page {page_size}, batch {batch}, rows {rows}, k {set_capacity}, {length_class} tokens")?;
        write!(f, ", {mask:?}{}", if *lse { ", lse" } else { "" })?;
        write!(f, ", {:?} {:?}, on {}", policy.launch, policy.l2, device.name)
    }
}
