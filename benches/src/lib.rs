//! What the benchmarks share: shapes, and the devices that run them.
//!
//! | bench | what it does |
//! |---|---|
//! | `attention` | criterion's statistics, reports and comparison with the last run |
//! | `attention_table` | one line per shape, within a minute: time, bandwidth, ratio to the floor |
//!
//! On a GPU times are the device's own, between events around replays of a graph; inputs take turns so that no launch
//! finds its tokens in the L2 cache. Without a GPU the CPU back end runs smaller shapes.

pub mod cpu;
pub mod gpu;
pub mod shapes;

use dustin::cuda;
use shapes::Shape;

/// The device that there is.
#[derive(Debug)]
pub enum Device {
    /// A GPU.
    Gpu(gpu::Gpu),
    /// The CPU back end.
    Cpu(cpu::Cpu),
}

/// A shape, ready to be timed on a device.
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
    /// The device found fails.
    pub fn open() -> anyhow::Result<Self> {
        match cuda::available() {
            Ok(()) => Ok(Self::Gpu(gpu::Gpu::open()?)),
            Err(error) => {
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

    /// The shapes that suit the device.
    #[must_use]
    pub fn shapes(&self) -> &'static [Shape] {
        match self {
            Self::Gpu(_) => shapes::GPU,
            Self::Cpu(_) => shapes::CPU,
        }
    }

    /// The most bytes per second that the device's memory was measured to deliver, where that is known.
    #[must_use]
    pub fn bandwidth(&self) -> Option<f64> {
        match self {
            Self::Gpu(gpu) => gpu.bandwidth(),
            Self::Cpu(_) => None,
        }
    }

    /// Prepares `shape`, checked against the reference on a batch of one.
    ///
    /// # Errors
    /// The device has no room for the shape, fails, or gives a wrong result.
    pub fn bench<'a>(&'a mut self, shape: &Shape) -> anyhow::Result<Box<dyn Bench + 'a>> {
        match self {
            Self::Gpu(gpu) => Ok(Box::new(gpu.bench(shape)?)),
            Self::Cpu(cpu) => Ok(Box::new(cpu.bench(shape)?)),
        }
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
    fn the_median_is_the_sample_in_the_middle() {
        assert_eq!(quantile(&[5.0, 1.0, 3.0], 0.5), 3.0);
        assert_eq!(quantile(&[5.0, 1.0, 3.0], 1.0), 5.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
