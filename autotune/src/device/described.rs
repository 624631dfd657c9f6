//! A device as a profile describes it: enough to say what would be launched there, and why, from anywhere.

use anyhow::{Context as _, bail};
use dustin::{
    cpu::CpuLimits,
    limits::DeviceLimits,
    profile::{ComputeCapability, Provenance},
};

use super::{About, Device, Limits};

/// Threads that a block may have, on every GPU since compute capability 2.0.
const THREADS_PER_BLOCK: u32 = 1024;

impl Device {
    /// The device that a profile of this provenance is of. Its memory's bandwidth is not known.
    ///
    /// # Errors
    /// The provenance does not say how large the device is.
    pub(crate) fn described(provenance: &Provenance) -> anyhow::Result<Self> {
        let of = |field| format!("the profile's provenance has no {field}, which the choice depends on");
        let limits = match provenance.device.compute_capability {
            None => {
                Limits::Cpu(CpuLimits { threads: provenance.cpu_threads.with_context(|| of("cpu_threads"))? })
            }
            Some(capability) => Limits::Gpu(DeviceLimits {
                major: capability.major,
                minor: capability.minor,
                sm_count: provenance.sm_count.with_context(|| of("sm_count"))?,
                shared_bytes_per_block: shared_bytes_per_block(capability)?,
                threads_per_block: THREADS_PER_BLOCK,
            }),
        };
        Ok(Self::new(About { provenance: provenance.clone(), bandwidth: None, limits, gpu: None }))
    }
}

/// The most shared memory that a block may opt in to, in bytes (CUDA C++ Programming Guide, compute capabilities,
/// technical specifications: maximum amount of shared memory per thread block).
///
/// # Errors
/// A compute capability that is not listed there.
fn shared_bytes_per_block(ComputeCapability { major, minor }: ComputeCapability) -> anyhow::Result<u32> {
    let kib = match (major, minor) {
        (7, 0 | 2) => 96,
        (7, 5) => 64,
        (8, 0 | 7) => 163,
        (8, 6 | 9) | (12, 0 | 1) => 99,
        (9, 0) | (10, 0 | 1 | 3) | (11, 0) => 227,
        _ => bail!(
            "how much shared memory compute capability {major}.{minor} has is not known here; ask on the GPU itself"
        ),
    };
    Ok(kib << 10)
}

#[cfg(test)]
mod tests {
    use dustin::profile::DeviceId;

    use super::*;

    #[test]
    fn a_gpu_is_described_by_its_capability_and_its_multiprocessors() {
        let unknown = Provenance::unknown(DeviceId::gpu("NVIDIA H200", 9, 0));
        assert!(Device::described(&unknown).is_err_and(|error| error.to_string().contains("sm_count")));
        let device = Device::described(&Provenance { sm_count: Some(132), ..unknown }).unwrap();
        let Limits::Gpu(limits) = device.about.limits else { panic!("a GPU") };
        assert_eq!((limits.sm_count, limits.shared_bytes_per_block), (132, 232_448));
    }

    #[test]
    fn what_has_no_known_limits_is_refused() {
        let unknown = |id| Provenance { sm_count: Some(1), ..Provenance::unknown(id) };
        for id in [DeviceId::gpu("any", 99, 0), DeviceId::cpu("any")] {
            assert!(Device::described(&unknown(id)).is_err());
        }
    }
}
