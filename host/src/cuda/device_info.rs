//! What a device is, as tuning, provenance and messages need it.

use std::ffi::CStr;

use cudarc::driver::sys::{CUdevice, CUdevice_attribute as Attribute};

use super::{
    context::{self, Context},
    error::{CudaError, CudaVersion},
    library::Driver,
    nvml,
};
use crate::{limits::DeviceLimits, profile::DeviceId};

/// A device's properties.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    /// Marketing name, for example `NVIDIA H200`.
    pub name: String,
    /// PCI bus id, `domain:bus:device.function`.
    pub pci_bus_id: String,
    /// The device's own id, `GPU-` and 32 hexadecimal digits, where NVML is present.
    pub uuid: Option<String>,
    /// Compute capability, major and minor.
    pub compute_capability: (u32, u32),
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// L2 cache in bytes.
    pub l2_bytes: u64,
    /// Device memory in bytes.
    pub memory_bytes: u64,
    /// Shared memory that one block can have, in bytes (the opt-in maximum).
    pub shared_bytes_per_block: u32,
    /// Shared memory of one multiprocessor in bytes.
    pub shared_bytes_per_sm: u32,
    /// 32-bit registers of one multiprocessor.
    pub registers_per_sm: u32,
    /// Threads that one block can have.
    pub threads_per_block: u32,
    /// Threads that one multiprocessor can hold.
    pub threads_per_sm: u32,
    /// Highest clock of the multiprocessors in kHz, where the driver tells.
    pub clock_khz: Option<u32>,
    /// Highest clock of the memory in kHz, where the driver tells.
    pub memory_clock_khz: Option<u32>,
    /// Width of the memory's bus in bits, where the driver tells.
    pub memory_bus_bits: Option<u32>,
    /// The CUDA version that the driver supports.
    pub cuda_version: CudaVersion,
    /// The driver's own version, for example `580.159.03`, where NVML is present.
    pub driver_version: Option<String>,
    /// Enforced power limit in watts, where NVML is present and tells.
    pub power_limit_watts: Option<f64>,
    /// Whether the device is divided into instances (MIG), where NVML is present and tells.
    pub mig: Option<bool>,
}

impl DeviceInfo {
    /// The device of `context`.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn new(context: &Context) -> Result<Self, CudaError> {
        Self::ask(context.driver(), context.device())
    }

    /// The device `ordinal`, on which no context is made for it: whoever uses the device is not disturbed.
    ///
    /// # Errors
    /// As [`super::available`]; an ordinal at or beyond [`super::device_count`]; what the driver returns.
    pub fn of(ordinal: u32) -> Result<Self, CudaError> {
        let (driver, device) = context::device(ordinal)?;
        Self::ask(driver, device)
    }

    fn ask(driver: &Driver, device: CUdevice) -> Result<Self, CudaError> {
        let functions = &driver.functions;
        let get = |attribute| {
            let mut value = 0;
            // SAFETY: the device exists; the driver writes one integer.
            unsafe { functions.cuDeviceGetAttribute(&mut value, attribute, device)? };
            // A negative answer would mean "unknown".
            Ok::<_, CudaError>(u32::try_from(value).unwrap_or(0))
        };
        let known = |attribute| get(attribute).ok().filter(|&value| value > 0);
        let mut memory_bytes = 0;
        // SAFETY: the device exists; the driver writes one integer.
        unsafe { functions.cuDeviceTotalMem_v2(&mut memory_bytes, device)? };
        let mut buffer = [0u8; 256];
        let len = buffer.len() as i32;
        // SAFETY: the device exists; the driver writes at most `len` bytes.
        unsafe { functions.cuDeviceGetName(buffer.as_mut_ptr().cast(), len, device)? };
        let name = text(&buffer);
        // SAFETY: as above.
        unsafe { functions.cuDeviceGetPCIBusId(buffer.as_mut_ptr().cast(), len, device)? };
        let pci_bus_id = text(&buffer);
        let managed = nvml::query(&pci_bus_id);

        Ok(Self {
            name,
            pci_bus_id,
            uuid: managed.uuid,
            compute_capability: (
                get(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                get(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            sm_count: get(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            l2_bytes: get(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.into(),
            memory_bytes: memory_bytes as u64,
            shared_bytes_per_block: get(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            shared_bytes_per_sm: get(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)?,
            registers_per_sm: get(Attribute::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR)?,
            threads_per_block: get(Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            threads_per_sm: get(Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)?,
            clock_khz: known(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
            memory_clock_khz: known(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE),
            memory_bus_bits: known(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH),
            cuda_version: driver.version,
            driver_version: managed.driver_version,
            power_limit_watts: managed.power_limit_watts,
            mig: managed.mig,
        })
    }
}

impl DeviceInfo {
    /// Bytes per second that the memory can deliver at its highest clock, two transfers a cycle, where the driver
    /// tells.
    #[must_use]
    pub fn memory_bandwidth(&self) -> Option<f64> {
        let (khz, bits) = (self.memory_clock_khz?, self.memory_bus_bits?);
        Some(f64::from(khz) * 1e3 * 2.0 * f64::from(bits) / 8.0)
    }

    /// Its model, as profiles know it.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        let (major, minor) = self.compute_capability;
        DeviceId::gpu(self.name.clone(), major, minor)
    }

    /// What of the device bounds a launch.
    #[must_use]
    pub fn limits(&self) -> DeviceLimits {
        DeviceLimits {
            major: self.compute_capability.0,
            minor: self.compute_capability.1,
            sm_count: self.sm_count,
            shared_bytes_per_block: self.shared_bytes_per_block,
            threads_per_block: self.threads_per_block,
        }
    }
}

fn text(buffer: &[u8]) -> String {
    CStr::from_bytes_until_nul(buffer).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}
