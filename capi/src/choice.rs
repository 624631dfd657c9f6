//! Which variant serves a problem, and why.

use dustin::{
    InvalidInput,
    cuda::ModuleCache,
    profile::{
        Catalogue, Choice, CpuCatalogue, DeviceId, Entry, GpuCatalogue, KernelKey, Key, Policy, Read, Source,
        Tuned,
    },
    verifier::{Chosen, Served},
};

use crate::{context::Cpu, error::invalid, words::dustin_source};

/// The choices of `profile`, if there is one, on a GPU.
pub(crate) fn of_gpu(profile: Option<&Read>, modules: &ModuleCache) -> Tuned<GpuCatalogue> {
    Tuned::new(entries(profile), GpuCatalogue { limits: modules.device().limits() })
}

/// The choices of `profile`, if there is one, on a CPU.
pub(crate) fn of_cpu(profile: Option<&Read>, cpu: &Cpu) -> Tuned<CpuCatalogue> {
    Tuned::new(entries(profile), CpuCatalogue { limits: cpu.limits() })
}

fn entries(profile: Option<&Read>) -> impl Iterator<Item = Entry> + use<> {
    profile.map(|read| read.profile.entries.clone()).unwrap_or_default().into_iter()
}

/// The choice for a problem on a GPU, read by `read` as a point of the tuning space, and where it comes from.
///
/// # Errors
/// No variant serves the problem.
pub(crate) fn on_gpu<T>(
    operation: &'static str,
    modules: &ModuleCache,
    profile: Option<&Read>,
    problem: impl Into<KernelKey>,
    read: fn(&Choice) -> Option<T>,
) -> Result<(T, Served), InvalidInput> {
    choose(operation, &of_gpu(profile, modules), &modules.device().id(), problem.into(), read)
}

/// The choice for a problem on a CPU, likewise.
///
/// # Errors
/// As [`on_gpu`].
pub(crate) fn on_cpu<T>(
    operation: &'static str,
    cpu: &Cpu,
    profile: Option<&Read>,
    problem: impl Into<KernelKey>,
    read: fn(&Choice) -> Option<T>,
) -> Result<(T, Served), InvalidInput> {
    choose(operation, &of_cpu(profile, cpu), cpu.id(), problem.into(), read)
}

fn choose<C: Catalogue, T>(
    operation: &'static str,
    tuned: &Tuned<C>,
    device: &DeviceId,
    kernel: KernelKey,
    read: fn(&Choice) -> Option<T>,
) -> Result<(T, Served), InvalidInput> {
    let key = Key::of(kernel, device, Policy::of(kernel.kernel(), device));
    let found = tuned.find(&key)?;
    let point = read(&found.choice)
        .ok_or_else(|| invalid(operation, "choice", "a point of the tuning space", &found.choice.variant))?;
    let manual = found.entry.is_some_and(|entry| entry.is_manual());
    let choice = found.choice.into_owned();
    let chosen = Chosen { key, choice, source: found.source, manual, misses: found.misses };
    Ok((point, Served::Chosen(Box::new(chosen))))
}

/// Where what serves a stage comes from.
pub(crate) fn source(served: &Served) -> dustin_source {
    match served {
        Served::Idle { .. } => dustin_source::Idle,
        Served::Fixed { .. } => dustin_source::Fixed,
        Served::Chosen(chosen) => match chosen.source {
            Source::Exact => dustin_source::Exact,
            Source::Near { .. } => dustin_source::Near,
            Source::OtherGpu { .. } => dustin_source::OtherGpu,
            Source::Default => dustin_source::Default,
        },
    }
}

/// The id of what is launched; no text where nothing is.
pub(crate) fn variant(served: &Served) -> &str {
    match served {
        Served::Idle { .. } => "",
        Served::Fixed { variant, .. } => variant,
        Served::Chosen(chosen) => &chosen.choice.variant,
    }
}
