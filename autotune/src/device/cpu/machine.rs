//! What the operating system says of the CPU.

use std::{fs, thread};

/// A CPU, as provenance needs it. What the system does not tell is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// The model's name, or the architecture's.
    pub(super) name: String,
    /// Hardware threads that this process may use.
    pub(super) threads: u32,
    /// Last-level cache in KiB.
    pub(super) cache_kib: Option<u32>,
    /// Memory in MiB.
    pub(super) memory_mib: Option<u32>,
}

impl Machine {
    /// The machine that this process runs on.
    pub(super) fn at_hand() -> Self {
        let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            name: dustin::cpu::name(),
            threads,
            cache_kib: (0..8)
                .filter_map(|level| {
                    kib(&read(&format!("/sys/devices/system/cpu/cpu0/cache/index{level}/size")))
                })
                .max(),
            memory_mib: memory(&read("/proc/meminfo")),
        }
    }
}

/// A size such as `36864K`.
fn kib(size: &str) -> Option<u32> {
    size.trim().strip_suffix('K')?.parse().ok()
}

/// The memory in the text of `/proc/meminfo`.
fn memory(meminfo: &str) -> Option<u32> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_files_are_understood() {
        assert_eq!(kib("36864K\n"), Some(36_864));
        assert_eq!(memory("MemTotal:       24689764 kB\nMemFree: 1 kB\n"), Some(24_111));
    }

    #[test]
    fn what_is_missing_is_absent() {
        assert_eq!((kib(""), memory("")), (None, None));
        assert_eq!((kib("2M"), memory("MemTotal: many kB")), (None, None));
    }
}
