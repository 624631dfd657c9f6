//! Which device a choice is tuned on.

use std::fmt;

use serde::{Deserialize, Serialize};

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
