//! What the benchmarks share: the devices that run the workloads that `autotune` tunes for, and those that need no tuning.
//!
//! | bench | what it does |
//! |---|---|
//! | `kernels` | criterion's statistics, reports and comparison with the last run |
//! | `table` | one line per workload: time, bandwidth, ratio to the floor and to the best peer, which `peers` times |
//! | `step` | whole verification steps on a GPU: every stage, and the speedup of self-attention over the whole cache |
//!
//! On a GPU times are the device's own, between events around replays of a graph; inputs of attention and of scoring take
//! turns so that no launch finds its tokens in the L2 cache, while selection finds its maps there. Without a GPU the CPU back end runs smaller workloads, unless
//! `DUSTIN_REQUIRE_GPU` is set: then a missing GPU is an error. A benchmark that could not run makes the exit code 1.

pub mod accept;
pub mod baseline;
pub mod cpu;
pub mod gpu;
pub mod peers;
mod small;
pub mod step;
pub mod work;

use std::ffi::OsString;

use anyhow::bail;
use dustin::cuda::{self, CudaError};
use dustin_autotune::workload::Impossible;

use self::work::Work;

/// Seed of all inputs.
const SEED: u64 = 1;

/// The device that there is.
#[derive(Debug)]
pub enum Device {
    /// A GPU.
    Gpu(gpu::Gpu),
    /// The CPU back end.
    Cpu(cpu::Cpu),
}

/// A workload, ready to be timed on a device.
pub trait Bench {
    /// What runs: variant and launch parameters.
    fn label(&self) -> String;

    /// Launches in one sample.
    fn launches(&self) -> u32;

    /// Microseconds of one launch, in `samples` samples.
    ///
    /// # Errors
    /// The device fails.
    fn time(&mut self, samples: u32) -> anyhow::Result<Vec<f64>>;
}

impl Device {
    /// The first GPU, or the CPU where there is none that serves: the reason is printed.
    ///
    /// # Errors
    /// The device found fails, or there is no GPU and `DUSTIN_REQUIRE_GPU` is set (and not `0`).
    pub fn open() -> anyhow::Result<Self> {
        match cuda::available() {
            Ok(()) => Ok(Self::Gpu(gpu::Gpu::open()?)),
            Err(error) => {
                may_do_without(&error, std::env::var_os("DUSTIN_REQUIRE_GPU"))?;
                eprintln!("no GPU to use ({error}): the CPU back end serves instead");
                Ok(Self::Cpu(cpu::Cpu::open()?))
            }
        }
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Gpu(gpu) => gpu.name(),
            Self::Cpu(cpu) => cpu.name(),
        }
    }

    /// What suits the device: the workloads that it is tuned for by default, writing to caches, acceptance, and, on a GPU, the layers of a step.
    ///
    /// # Errors
    /// None, unless one of them is impossible.
    pub fn work(&self) -> Result<Vec<Work>, Impossible> {
        Work::defaults(matches!(self, Self::Gpu(_)))
    }

    /// The most bytes per second that the device's memory was measured to deliver, where that is known.
    #[must_use]
    pub fn bandwidth(&self) -> Option<f64> {
        match self {
            Self::Gpu(gpu) => gpu.bandwidth(),
            Self::Cpu(_) => None,
        }
    }

    /// Prepares `work`, checked against the reference on a batch of one.
    ///
    /// # Errors
    /// The device has no room for it, fails, or gives a wrong result.
    pub fn bench<'a>(&'a mut self, work: &Work) -> anyhow::Result<Box<dyn Bench + 'a>> {
        match self {
            Self::Gpu(gpu) => Ok(Box::new(gpu.bench(work)?)),
            Self::Cpu(cpu) => Ok(Box::new(cpu.bench(work)?)),
        }
    }
}

/// Refuses to do without a GPU, for the reason given, where the value of `DUSTIN_REQUIRE_GPU` asks for one.
fn may_do_without(reason: &CudaError, required: Option<OsString>) -> anyhow::Result<()> {
    match required {
        Some(value) if value != "0" => bail!("DUSTIN_REQUIRE_GPU is set, but {reason}"),
        _ => Ok(()),
    }
}

/// The value below which the share `quantile` of `samples` lies; 0 for no samples.
#[must_use]
pub fn quantile(samples: &[f64], quantile: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * quantile).round() as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_required_is_not_replaced_by_the_cpu() {
        for (value, may) in [(None, true), (Some("0"), true), (Some("1"), false), (Some("yes"), false)] {
            let done = may_do_without(&CudaError::NoDevice, value.map(Into::into));
            assert_eq!(done.is_ok(), may, "{value:?}");
        }
    }

    #[test]
    fn the_median_is_the_sample_in_the_middle() {
        assert_eq!(quantile(&[5.0, 1.0, 3.0], 0.5), 3.0);
        assert_eq!(quantile(&[5.0, 1.0, 3.0], 1.0), 5.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
