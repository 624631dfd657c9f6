//! What NVML, the management library, tells of a GPU while it is measured: clocks, temperature, power, throttling, and who
//! else computes on it.

use std::{collections::HashMap, process};

use nvml_wrapper::{
    Nvml,
    bitmasks::device::ThrottleReasons,
    enum_wrappers::device::{Clock, TemperatureSensor},
    error::NvmlError,
};

use crate::search::Conditions;

/// The library, and the GPU's processes as of before this one used it.
pub(super) struct Watchful {
    nvml: Nvml,
    /// By NVML's number of the GPU. Numbers are those of the host, which in a container are not this process's own.
    processes: HashMap<u32, Vec<u32>>,
}

/// A GPU that is watched.
pub(super) struct Monitor {
    nvml: Nvml,
    pci_bus_id: String,
    /// This process, as NVML numbers it.
    own: Vec<u32>,
}

impl Watchful {
    /// Looks at all GPUs, before this process uses any.
    ///
    /// # Errors
    /// There is no NVML, or none that answers.
    pub(super) fn before_use() -> Result<Self, NvmlError> {
        let nvml = Nvml::init()?;
        let mut processes = HashMap::new();
        for number in 0..nvml.device_count()? {
            let device = nvml.device_by_index(number)?;
            processes.insert(number, computing(&device));
        }
        Ok(Self { nvml, processes })
    }

    /// Watches the GPU at `pci_bus_id`, which this process has begun to use: whoever is new there is this process.
    ///
    /// # Errors
    /// NVML does not know the GPU.
    pub(super) fn watch(self, pci_bus_id: &str) -> Result<Monitor, NvmlError> {
        let Self { nvml, processes } = self;
        let device = nvml.device_by_pci_bus_id(pci_bus_id)?;
        let before = processes.get(&device.index()?).cloned().unwrap_or_default();
        let own = computing(&device).into_iter().filter(|process| !before.contains(process));
        let own = own.chain([process::id()]).collect();
        Ok(Monitor { pci_bus_id: pci_bus_id.to_owned(), own, nvml })
    }
}

impl Monitor {
    /// What the GPU is like now.
    pub(super) fn conditions(&self) -> Option<Conditions> {
        let device = self.nvml.device_by_pci_bus_id(&*self.pci_bus_id).ok()?;
        let reasons = device.current_throttle_reasons().unwrap_or(ThrottleReasons::empty());
        let others = computing(&device).into_iter().filter(|process| !self.own.contains(process));
        Some(Conditions {
            sm_mhz: device.clock_info(Clock::SM).ok(),
            memory_mhz: device.clock_info(Clock::Memory).ok(),
            celsius: device.temperature(TemperatureSensor::Gpu).ok(),
            watts: device.power_usage().ok().map(|milliwatts| milliwatts / 1000),
            throttling: names(reasons),
            others: others.collect(),
        })
    }
}

/// The processes that compute on a GPU; none where NVML does not tell.
fn computing(device: &nvml_wrapper::Device<'_>) -> Vec<u32> {
    let processes = device.running_compute_processes().unwrap_or_default();
    processes.into_iter().map(|process| process.pid).collect()
}

/// Those of `reasons` for which a GPU is slower than it could be while it works; idling and clocks that somebody set are none.
fn names(reasons: ThrottleReasons) -> Vec<String> {
    let slower = [
        (ThrottleReasons::SW_POWER_CAP, "power cap"),
        (ThrottleReasons::HW_SLOWDOWN, "hardware slowdown"),
        (ThrottleReasons::SYNC_BOOST, "clocks in step with another GPU"),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "thermal slowdown by the driver"),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, "thermal slowdown by the hardware"),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power brake"),
    ];
    slower
        .iter()
        .filter(|(reason, _)| reasons.contains(*reason))
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idling_and_clocks_that_somebody_set_are_no_throttling() {
        let calm = ThrottleReasons::GPU_IDLE | ThrottleReasons::APPLICATIONS_CLOCKS_SETTING;
        assert!(names(calm).is_empty());
        let hot = calm | ThrottleReasons::SW_THERMAL_SLOWDOWN | ThrottleReasons::SW_POWER_CAP;
        assert_eq!(names(hot), ["power cap", "thermal slowdown by the driver"]);
    }
}
