//! `gpus`: what the driver and NVML say of each GPU, and whether there is a profile for it.

use std::path::Path;

use dustin::{
    cuda::{self, CudaError, DeviceInfo},
    profile::{self, DeviceId},
};
use serde::Serialize;

use crate::{args::GpusArgs, book, console::Console, outcome::Exit, table};

#[derive(Serialize)]
struct Report {
    /// Why there is no GPU to use.
    no_gpu: Option<String>,
    gpus: Vec<Gpu>,
    /// What serves where there is no GPU.
    cpu: Cpu,
}

/// One GPU; what nobody tells is absent.
#[derive(Serialize)]
struct Gpu {
    number: u32,
    /// Why nothing is known of it.
    error: Option<String>,
    #[serde(flatten)]
    facts: Option<Facts>,
}

#[derive(Serialize)]
struct Facts {
    name: String,
    uuid: Option<String>,
    pci_bus_id: String,
    compute_capability: String,
    sm_count: u32,
    memory_bytes: u64,
    bandwidth_bytes_per_second: Option<f64>,
    l2_bytes: u64,
    shared_bytes_per_block: u32,
    shared_bytes_per_sm: u32,
    registers_per_sm: u32,
    threads_per_block: u32,
    driver: Option<String>,
    cuda: String,
    power_limit_watts: Option<f64>,
    mig: Option<bool>,
    #[serde(flatten)]
    profile: Profiled,
}

#[derive(Serialize)]
struct Cpu {
    name: String,
    threads: usize,
    #[serde(flatten)]
    profile: Profiled,
}

/// The profile of a device.
#[derive(Serialize)]
struct Profiled {
    /// Where it lies, or would.
    profile: String,
    /// Its entries; absent if there is none.
    entries: Option<usize>,
    /// Why it cannot be used.
    profile_error: Option<String>,
}

/// Prints what is known of each GPU; where there is none, of the CPU.
pub(crate) fn gpus(args: &GpusArgs) -> anyhow::Result<Exit> {
    let console = Console::from(&args.console);
    let folder = &args.profiles;
    let (gpus, no_gpu) = match cuda::device_count() {
        Ok(count) => ((0..count).map(|number| gpu(number, folder)).collect(), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let name = dustin::cpu::name();
    let profile = profiled(&DeviceId::cpu(name.clone()), folder);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let report = Report { no_gpu, gpus, cpu: Cpu { name, threads, profile } };
    for gpu in &report.gpus {
        tell(gpu, console)?;
    }
    if let Some(reason) = &report.no_gpu {
        console.print(&format!("no GPU to use: {reason}"))?;
        let Cpu { name, threads, profile } = &report.cpu;
        facts(
            console,
            "CPU backend",
            [("name", name.clone()), ("threads", threads.to_string()), ("profile", profile.words())],
        )?;
    }
    console.print_json(&report)?;
    Ok(Exit::Done)
}

fn gpu(number: u32, folder: &Path) -> Gpu {
    let facts = DeviceInfo::of(number).map(|info: DeviceInfo| {
        let (major, minor) = info.compute_capability;
        Facts {
            profile: profiled(&info.id(), folder),
            bandwidth_bytes_per_second: info.memory_bandwidth(),
            name: info.name,
            uuid: info.uuid,
            pci_bus_id: info.pci_bus_id,
            compute_capability: format!("{major}.{minor}"),
            sm_count: info.sm_count,
            memory_bytes: info.memory_bytes,
            l2_bytes: info.l2_bytes,
            shared_bytes_per_block: info.shared_bytes_per_block,
            shared_bytes_per_sm: info.shared_bytes_per_sm,
            registers_per_sm: info.registers_per_sm,
            threads_per_block: info.threads_per_block,
            driver: info.driver_version,
            cuda: info.cuda_version.to_string(),
            power_limit_watts: info.power_limit_watts,
            mig: info.mig,
        }
    });
    let error = facts.as_ref().err().map(CudaError::to_string);
    Gpu { number, error, facts: facts.ok() }
}

fn profiled(device: &DeviceId, folder: &Path) -> Profiled {
    let path = folder.join(book::default_path(device).file_name().unwrap_or_default());
    let (entries, profile_error) = match profile::read(&path) {
        _ if !path.exists() => (None, None),
        Ok(read) if read.profile.provenance.device == *device => (Some(read.profile.entries.len()), None),
        Ok(read) => (None, Some(format!("it is of {:?}", read.profile.provenance.device.name))),
        Err(error) => (None, Some(error.to_string())),
    };
    Profiled { profile: path.display().to_string(), entries, profile_error }
}

impl Profiled {
    fn words(&self) -> String {
        let path = &self.profile;
        match (self.entries, &self.profile_error) {
            (Some(entries), _) => format!("{path} ({entries} entries)"),
            (None, Some(error)) => format!("{path} cannot be used: {error}"),
            (None, None) => format!("none yet; `autotune tune` writes {path}"),
        }
    }
}

fn tell(Gpu { number, error, facts: found }: &Gpu, console: Console) -> anyhow::Result<()> {
    let title = format!("GPU {number}");
    let Some(found) = found else {
        let error = error.clone().unwrap_or_default();
        return facts(console, &title, [("error", error)]);
    };
    let unknown = || "unknown".to_owned();
    let kib = |bytes: u32| format!("{} KiB", bytes / 1024);
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let bandwidth = found.bandwidth_bytes_per_second;
    let rows = [
        ("name", found.name.clone()),
        ("UUID", found.uuid.clone().unwrap_or_else(unknown)),
        ("PCI bus", found.pci_bus_id.clone()),
        ("compute capability", found.compute_capability.clone()),
        ("multiprocessors", found.sm_count.to_string()),
        ("memory", gib(found.memory_bytes)),
        ("bandwidth", bandwidth.map_or_else(unknown, |rate| format!("{:.0} GB/s", rate / 1e9))),
        ("L2 cache", format!("{:.0} MiB", found.l2_bytes as f64 / f64::from(1 << 20))),
        (
            "shared memory",
            format!(
                "{} per block, {} per multiprocessor",
                kib(found.shared_bytes_per_block),
                kib(found.shared_bytes_per_sm)
            ),
        ),
        ("registers", format!("{} per multiprocessor", found.registers_per_sm)),
        ("driver", format!("{}, CUDA {}", found.driver.clone().unwrap_or_else(unknown), found.cuda)),
        ("power limit", found.power_limit_watts.map_or_else(unknown, |watts| format!("{watts:.0} W"))),
        ("MIG", found.mig.map_or_else(unknown, |mig| if mig { "on" } else { "off" }.to_owned())),
        ("profile", found.profile.words()),
    ];
    facts(console, &title, rows)
}

fn facts<const N: usize>(console: Console, title: &str, rows: [(&str, String); N]) -> anyhow::Result<()> {
    let mut table = table::new(&[title, ""], 2);
    for (field, value) in rows {
        table.add_row([field.to_owned(), value]);
    }
    Ok(console.print(&table.to_string())?)
}
