//! What a worker tells of a device before it uses it, so that whoever searches for it need not touch the driver.

use dustin::{cpu::CpuLimits, limits::DeviceLimits, profile::Provenance};
use serde::{Deserialize, Serialize};

/// A device, told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// What a profile says of it, its date being when it was found.
    pub(crate) provenance: Provenance,
    /// The most bytes per second that its memory can deliver, where that is known.
    pub(crate) bandwidth: Option<f64>,
    /// What bounds a launch.
    pub(crate) limits: Limits,
    /// Which GPU it is.
    pub(crate) gpu: Option<GpuPlace>,
}

/// Which of a machine's GPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GpuPlace {
    /// Its number, as the driver counts those that this process may see.
    pub(crate) ordinal: u32,
    /// Where it is plugged in: the same for every process of the machine, whichever GPUs it may see.
    pub(crate) pci_bus_id: String,
    /// How many this process may see.
    pub(crate) count: u32,
}

/// What bounds a launch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limits {
    /// Of a GPU.
    Gpu(#[serde(with = "OfGpu")] DeviceLimits),
    /// Of the CPU backend.
    Cpu(#[serde(with = "OfCpu")] CpuLimits),
}

/// The fields of [`DeviceLimits`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "DeviceLimits")]
struct OfGpu {
    major: u32,
    minor: u32,
    sm_count: u32,
    shared_bytes_per_block: u32,
    threads_per_block: u32,
}

/// The fields of [`CpuLimits`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "CpuLimits")]
struct OfCpu {
    threads: u32,
}
