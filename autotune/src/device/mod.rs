//! Devices that can be tuned: what the search has to know of one, and, behind [`backend`], what a worker does with it.
//!
//! Whoever searches touches no driver: a candidate may take the driver's context, or the whole process, with it.

mod about;
pub(crate) mod backend;
mod cpu;
mod cuda;
mod described;
mod judge;
pub(crate) mod memory;
mod provenance;

use std::{fmt, time::Duration};

use dustin::{
    InvalidInput,
    cuda::CudaError,
    profile::{Catalogue, CpuCatalogue, DeviceId, GpuCatalogue, Kernel, Policy, Provenance},
};
use dustin_autotune::workload::Problem;

pub(crate) use self::{
    about::{About, GpuPlace, Limits},
    provenance::now,
};
use crate::{
    search::{SearchError, Settings},
    task::{Excluded, Offer, Task},
};

/// The points of a tuning space, and those left out with their reasons.
pub(crate) type Offers = (Vec<Offer>, Vec<Excluded>);

/// A device as those see it who plan and search for it.
pub(crate) struct Device {
    about: About,
    catalogue: Box<dyn Catalogue + Send + Sync>,
}

impl Device {
    /// The device that a worker has told about.
    pub(crate) fn new(about: About) -> Self {
        let catalogue: Box<dyn Catalogue + Send + Sync> = match about.limits {
            Limits::Gpu(limits) => Box::new(GpuCatalogue { limits }),
            Limits::Cpu(limits) => Box::new(CpuCatalogue { limits }),
        };
        Self { about, catalogue }
    }

    /// Its model, as profiles name it.
    pub(crate) fn id(&self) -> &DeviceId {
        &self.about.provenance.device
    }

    /// What a profile says of it, as of when it was found.
    pub(crate) fn provenance(&self) -> &Provenance {
        &self.about.provenance
    }

    /// What tells it from the machine's other devices, as a part of a file's name.
    pub(crate) fn place(&self) -> String {
        match &self.about.gpu {
            Some(GpuPlace { pci_bus_id, .. }) => {
                pci_bus_id.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
            }
            None => "cpu".into(),
        }
    }

    /// How many GPUs its process may see; none if it is no GPU.
    pub(crate) fn gpus(&self) -> u32 {
        self.about.gpu.as_ref().map_or(0, |place| place.count)
    }

    /// Refuses a device that `others` compute on, unless `shared` is as the user wants it. Gives a warning then.
    ///
    /// # Errors
    /// Others compute on it, and nobody wants that.
    pub(crate) fn require_alone(&self, others: &[u32], shared: bool) -> Result<Option<String>, Shared> {
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        let shown = Shared { device: self.to_string(), others: others.join(", ") };
        match (others.is_empty(), shared) {
            (true, _) => Ok(None),
            (false, true) => {
                Ok(Some(format!("warning: {} computes for process {}, too", shown.device, shown.others)))
            }
            (false, false) => Err(shown),
        }
    }

    /// Its variants, as profiles name them.
    pub(crate) fn catalogue(&self) -> &dyn Catalogue {
        self.catalogue.as_ref()
    }

    /// What times of `kernel` are taken for.
    pub(crate) fn policy(&self, kernel: Kernel) -> Policy {
        Policy::of(kernel, self.id())
    }

    /// The most bytes per second that its memory can deliver, where that is known.
    pub(crate) fn bandwidth(&self) -> Option<f64> {
        self.about.bandwidth
    }

    /// How a search of one problem goes about it here.
    pub(crate) fn settings(&self) -> Settings {
        match self.about.limits {
            Limits::Gpu(_) => cuda::settings(),
            Limits::Cpu(_) => cpu::settings(),
        }
    }

    /// Every point of the tuning space for `problem`, and those left out with their reasons.
    ///
    /// # Errors
    /// The problem is invalid.
    pub(crate) fn points(&self, problem: &Problem) -> Result<Offers, InvalidInput> {
        match &self.about.limits {
            Limits::Gpu(limits) => cuda::points(problem, limits),
            Limits::Cpu(limits) => cpu::points(problem, *limits),
        }
    }

    /// About how long a search of `task` takes that tries so many of its points.
    pub(crate) fn estimate(&self, task: &Task, trials: usize) -> Duration {
        match self.about.limits {
            Limits::Gpu(_) => cuda::estimate(task, trials, self.bandwidth()),
            Limits::Cpu(limits) => cpu::estimate(task, trials, limits),
        }
    }

    /// The time in which any candidate worth having runs `problem` once, and most others do, too.
    pub(crate) fn patience(&self, problem: &Problem) -> Duration {
        match self.about.limits {
            // The launches of a graph, at a hundredth of the memory's speed.
            Limits::Gpu(_) => cuda::run_time(problem, self.bandwidth()) * 32 * 100,
            // A single thread of a busy machine.
            Limits::Cpu(_) => cpu::run_time(problem, 1) * 20,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.about.gpu {
            Some(GpuPlace { ordinal, .. }) => write!(f, "GPU {ordinal} ({})", self.id().name),
            None => write!(f, "the CPU ({})", self.id().name),
        }
    }
}

/// Others compute on the device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{device} computes for process {others}, too, so times taken on it would be nobody's: end that, choose another --gpu, or \
     measure all the same with --allow-shared"
)]
pub(crate) struct Shared {
    device: String,
    others: String,
}

/// Whether `error` says that the device no longer answers, so that nothing else can succeed on it either.
pub(crate) fn is_lost(error: &anyhow::Error) -> bool {
    let search = error.downcast_ref().is_some_and(|error| matches!(error, SearchError::Device(_)));
    search || matches!(error.downcast_ref(), Some(CudaError::DeviceLost { .. }))
}
