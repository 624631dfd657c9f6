//! What only NVML, the management library, knows of a device. It is optional: whatever is missing stays unknown.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use libloading::Library;

#[cfg(windows)]
const NAME: &str = "nvml.dll";
#[cfg(not(windows))]
const NAME: &str = "libnvidia-ml.so.1";

#[derive(Default)]
pub(super) struct Managed {
    pub(super) uuid: Option<String>,
    pub(super) driver_version: Option<String>,
    pub(super) power_limit_watts: Option<f64>,
    pub(super) mig: Option<bool>,
}

type Status = c_int;
type Device = *mut c_void;

struct Nvml {
    handle: unsafe extern "C" fn(*const c_char, *mut Device) -> Status,
    uuid: unsafe extern "C" fn(Device, *mut c_char, c_uint) -> Status,
    driver_version: unsafe extern "C" fn(*mut c_char, c_uint) -> Status,
    power_limit: unsafe extern "C" fn(Device, *mut c_uint) -> Status,
    mig_mode: unsafe extern "C" fn(Device, *mut c_uint, *mut c_uint) -> Status,
    shutdown: unsafe extern "C" fn() -> Status,
    // Unloading it would leave the functions dangling.
    _library: Library,
}

/// The device at a PCI bus id.
pub(super) fn query(pci_bus_id: &str) -> Managed {
    match (Nvml::open(), CString::new(pci_bus_id)) {
        (Some(nvml), Ok(id)) => nvml.query(&id),
        _ => Managed::default(),
    }
}

impl Nvml {
    fn open() -> Option<Self> {
        // SAFETY: loading runs the initialisers of the library that the system has under NVML's name.
        let library = unsafe { Library::new(NAME) }.ok()?;
        // SAFETY: NVML's signatures.
        let (init, handle, uuid, driver_version, power_limit, mig_mode, shutdown) = unsafe {
            (
                *library.get::<unsafe extern "C" fn() -> Status>("nvmlInit_v2").ok()?,
                *library.get("nvmlDeviceGetHandleByPciBusId_v2").ok()?,
                *library.get("nvmlDeviceGetUUID").ok()?,
                *library.get("nvmlSystemGetDriverVersion").ok()?,
                *library.get("nvmlDeviceGetEnforcedPowerLimit").ok()?,
                *library.get("nvmlDeviceGetMigMode").ok()?,
                *library.get("nvmlShutdown").ok()?,
            )
        };
        // SAFETY: initialising has no precondition.
        let status = unsafe { init() };
        (status == 0).then(|| Self {
            handle,
            uuid,
            driver_version,
            power_limit,
            mig_mode,
            shutdown,
            _library: library,
        })
    }

    fn query(&self, pci_bus_id: &CStr) -> Managed {
        let mut device = std::ptr::null_mut();
        // SAFETY: NVML is initialised; it reads a string and writes one handle.
        if unsafe { (self.handle)(pci_bus_id.as_ptr(), &mut device) } != 0 {
            return Managed::default();
        }
        let (mut milliwatts, mut mode, mut pending) = (0, 0, 0);
        let (mut uuid, mut version) = ([0u8; 96], [0u8; 96]);
        // SAFETY: the handle is NVML's own; it writes at most as many bytes as it is told.
        let has_uuid = unsafe { (self.uuid)(device, uuid.as_mut_ptr().cast(), uuid.len() as c_uint) } == 0;
        // SAFETY: it writes at most as many bytes as it is told.
        let has_version =
            unsafe { (self.driver_version)(version.as_mut_ptr().cast(), version.len() as c_uint) } == 0;
        // SAFETY: the handle is NVML's own; it writes one integer.
        let has_power = unsafe { (self.power_limit)(device, &mut milliwatts) } == 0;
        // SAFETY: as above, two integers.
        let has_mig = unsafe { (self.mig_mode)(device, &mut mode, &mut pending) } == 0;
        Managed {
            uuid: text(&uuid).filter(|_| has_uuid),
            driver_version: text(&version).filter(|_| has_version),
            power_limit_watts: has_power.then(|| f64::from(milliwatts) / 1e3),
            mig: has_mig.then_some(mode != 0),
        }
    }
}

fn text(buffer: &[u8]) -> Option<String> {
    CStr::from_bytes_until_nul(buffer).ok().map(|text| text.to_string_lossy().into_owned())
}

impl Drop for Nvml {
    fn drop(&mut self) {
        // SAFETY: NVML was initialised once by this value.
        let _ = unsafe { (self.shutdown)() };
    }
}
