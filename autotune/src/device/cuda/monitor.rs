//! What NVML, the management library, tells of a GPU while it is measured: clocks, temperature, power, throttling, and who
//! else computes on it.

use std::{collections::HashMap, process};

use nvml_wrapper::{
    Nvml,
    bitmasks::device::ThrottleReasons,
    enum_wrappers::device::{Clock, TemperatureSensor},
    enums::device::UsedGpuMemory,
    error::NvmlError,
    struct_wrappers::device::ProcessInfo,
};

use crate::search::Conditions;

/// Bytes by whose allocation this process makes itself known.
const SIGN: u64 = 256 << 20;

/// The library, and the GPU's processes as of before this one used it.
pub(super) struct Watchful {
    nvml: Nvml,
    /// By NVML's number of the GPU. Numbers are those of the host, which in a container are not this process's own.
    processes: HashMap<u32, Vec<Use>>,
}

/// A process that computes on a GPU.
#[derive(Clone, Copy, Debug)]
struct Use {
    process: u32,
    /// The memory that it holds there, where that is told.
    bytes: Option<u64>,
}

/// A GPU that is watched.
pub(super) struct Monitor {
    nvml: Nvml,
    pci_bus_id: String,
    /// This process, as NVML numbers it.
    own: u32,
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

    /// Watches the GPU at `pci_bus_id`, which this process has begun to use, and of which `allocate` gives it so many bytes for a
    /// moment: so it is known among others that came at the same time.
    ///
    /// # Errors
    /// NVML does not know the GPU.
    pub(super) fn watch<M>(
        self,
        pci_bus_id: &str,
        allocate: impl FnOnce(u64) -> Option<M>,
    ) -> Result<Monitor, NvmlError> {
        let Self { nvml, processes } = self;
        let device = nvml.device_by_pci_bus_id(pci_bus_id)?;
        let before = processes.get(&device.index()?).map_or(&[][..], Vec::as_slice);
        let now = computing(&device);
        let held = allocate(SIGN);
        let grown = if held.is_some() { computing(&device) } else { Vec::new() };
        drop(held);
        let own = identify(process::id(), before, &now, &grown);
        Ok(Monitor { pci_bus_id: pci_bus_id.to_owned(), own, nvml })
    }
}

/// Which process is this one, whose own number is `id`, and which has asked for [`SIGN`] bytes between `now` and `grown`: the one
/// that has got them. Where NVML does not tell, it is one of those that were not there before; but never are they all.
fn identify(id: u32, before: &[Use], now: &[Use], grown: &[Use]) -> u32 {
    let of = |uses: &[Use], process| uses.iter().find(|one| one.process == process).copied();
    let got = |one: &&Use| {
        let earlier = of(now, one.process).and_then(|now| now.bytes);
        let more = one.bytes.zip(earlier).map(|(bytes, earlier)| bytes.saturating_sub(earlier));
        // The driver may have taken some for itself.
        more.is_some_and(|more| (SIGN..SIGN + SIGN / 4).contains(&more))
    };
    let mut signed = grown.iter().filter(got);
    if let (Some(one), None) = (signed.next(), signed.next()) {
        return one.process;
    }
    let new = || now.iter().map(|one| one.process).filter(|&process| of(before, process).is_none());
    if new().any(|process| process == id) { id } else { new().next_back().unwrap_or(id) }
}

impl Monitor {
    /// What the GPU is like now.
    pub(super) fn conditions(&self) -> Option<Conditions> {
        let device = self.nvml.device_by_pci_bus_id(&*self.pci_bus_id).ok()?;
        let reasons = device.current_throttle_reasons().unwrap_or(ThrottleReasons::empty());
        let others = computing(&device).into_iter().map(|one| one.process);
        let others = others.filter(|&process| process != self.own);
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
fn computing(device: &nvml_wrapper::Device<'_>) -> Vec<Use> {
    let processes = device.running_compute_processes().unwrap_or_default();
    let bytes = |memory| match memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    };
    let one = |process: ProcessInfo| Use { process: process.pid, bytes: bytes(process.used_gpu_memory) };
    processes.into_iter().map(one).collect()
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

    fn uses(told: &[(u32, u64)]) -> Vec<Use> {
        told.iter().map(|&(process, mib)| Use { process, bytes: Some(mib << 20) }).collect()
    }

    #[test]
    fn among_processes_that_came_at_the_same_time_this_one_is_known_by_its_sign() {
        let (before, now) = (uses(&[(7, 900)]), uses(&[(7, 900), (41, 500), (42, 500), (43, 500)]));
        let grown = uses(&[(7, 900), (41, 502), (42, 758), (43, 1500)]);
        assert_eq!(identify(1, &before, &now, &grown), 42);
        // Whoever was there before has the number of this process by chance, in a container.
        assert_eq!(identify(7, &before, &now, &grown), 42);
    }

    #[test]
    fn where_memory_is_not_told_one_of_those_that_came_is_this_process_and_never_all() {
        let untold = |processes: &[u32]| -> Vec<Use> {
            processes.iter().map(|&process| Use { process, bytes: None }).collect()
        };
        let (before, now) = (untold(&[7]), untold(&[7, 41, 42]));
        assert_eq!(identify(41, &before, &now, &now), 41, "numbers are those of this process");
        assert_eq!(identify(1, &before, &now, &now), 42, "numbers are those of the host");
        assert_eq!(identify(7, &before, &now, &[]), 42, "there was no room for a sign");
        // Two that grew alike, or nobody that came: then there is nothing to tell them by.
        let alike = uses(&[(41, 800), (42, 800)]);
        assert_eq!(identify(1, &before, &uses(&[(41, 544), (42, 544)]), &alike), 42);
        assert_eq!(identify(1, &before, &before, &before), 1);
    }

    #[test]
    fn idling_and_clocks_that_somebody_set_are_no_throttling() {
        let calm = ThrottleReasons::GPU_IDLE | ThrottleReasons::APPLICATIONS_CLOCKS_SETTING;
        assert!(names(calm).is_empty());
        let hot = calm | ThrottleReasons::SW_THERMAL_SLOWDOWN | ThrottleReasons::SW_POWER_CAP;
        assert_eq!(names(hot), ["power cap", "thermal slowdown by the driver"]);
    }
}
