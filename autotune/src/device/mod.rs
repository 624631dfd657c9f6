//! Devices that can be tuned, behind one interface.

mod cpu;
mod cuda;
mod judge;
pub(crate) mod memory;
mod provenance;

use std::time::Duration;

use anyhow::Context as _;
use dustin::{
    InvalidInput,
    cuda::CudaError,
    profile::{Catalogue, DeviceId, Kernel, Policy, Provenance},
};
use dustin_autotune::workload::Problem;

use crate::{
    console::Console,
    resolve::DeviceChoice,
    search::{Bench, SearchError, Settings},
    task::{Excluded, Offer, Task},
};

/// The points of a tuning space, and those left out with their reasons.
pub(crate) type Offers = (Vec<Offer>, Vec<Excluded>);

/// A device and what the command has to know of it.
pub(crate) trait Device {
    /// Its model, as profiles name it.
    fn id(&self) -> &DeviceId;

    /// Its variants, as profiles name them.
    fn catalogue(&self) -> &dyn Catalogue;

    /// What times of `kernel` are taken for.
    fn policy(&self, kernel: Kernel) -> Policy;

    /// What a profile says of it, as of now; hashes and date are the caller's.
    fn provenance(&self) -> Provenance;

    /// The most bytes per second that its memory can deliver, where that is known.
    fn bandwidth(&self) -> Option<f64>;

    /// How a search of one problem goes about it here.
    fn settings(&self) -> Settings;

    /// Every point of the tuning space for `problem`, and those left out with their reasons.
    ///
    /// # Errors
    /// The problem is invalid.
    fn points(&self, problem: &Problem) -> Result<Offers, InvalidInput>;

    /// About how long a search of `task` takes that tries so many of its points.
    fn estimate(&self, task: &Task, trials: usize) -> Duration;

    /// Prepares inputs from `seed`, reference and workspace for the points of `task`.
    ///
    /// # Errors
    /// The device cannot hold or run the problem.
    fn bench<'a>(&'a self, task: &'a Task, seed: u64) -> anyhow::Result<Box<dyn Bench + 'a>>;
}

/// Whether `error` says that the device no longer answers, so that nothing else can succeed on it either.
pub(crate) fn is_lost(error: &anyhow::Error) -> bool {
    let search = error.downcast_ref().is_some_and(|error| matches!(error, SearchError::Device(_)));
    search || matches!(error.downcast_ref(), Some(CudaError::DeviceLost { .. }))
}

/// Opens the device asked for.
///
/// # Errors
/// A GPU was asked for and there is none that serves.
pub(crate) fn open(choice: DeviceChoice, console: Console) -> anyhow::Result<Box<dyn Device>> {
    match choice {
        DeviceChoice::Cuda { gpu } => {
            Ok(Box::new(cuda::Cuda::open(gpu).context("--device cuda cannot be served; --device cpu can")?))
        }
        DeviceChoice::Auto { gpu } => match dustin::cuda::available() {
            Ok(()) => Ok(Box::new(cuda::Cuda::open(gpu)?)),
            Err(error) => {
                console.note(&format!("no GPU to use ({error}): the CPU backend serves instead"));
                Ok(Box::new(cpu::Cpu::open()?))
            }
        },
        DeviceChoice::Cpu => Ok(Box::new(cpu::Cpu::open()?)),
    }
}
