//! Errors that only a driver with a device can give.

use std::process::{Command, ExitCode};

use dustin::cuda::{Context, CudaError, DeviceBuffer, Stream};
use dustin_kernels::{
    probes::leader_barrier,
    registry::{Entry, Target, entries},
};
use dustin_tests::gpu::{Gpu, text, trial};
use libtest_mimic::Trial;

use super::stream;

/// Set for the child that loses its device.
const CHILD: &str = "DUSTIN_TEST_LOSE_THE_DEVICE";

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("ptx_that_the_driver_refuses_comes_with_the_compilers_log", refused_ptx),
        trial(
            "a_kernel_that_needs_more_shared_memory_than_the_device_has_is_refused_before_it_is_compiled",
            too_much_shared_memory,
        ),
        trial("more_memory_than_the_device_has_is_a_typed_error", out_of_memory),
        trial("a_device_beyond_the_last_is_a_typed_error", no_such_device),
        trial("an_illegal_access_is_reported_as_a_lost_device", lost_device),
    ]
}

fn expect(error: Result<(), CudaError>, is_right: impl Fn(&CudaError) -> bool) -> Result<(), String> {
    match error {
        Err(error) if is_right(&error) => Ok(()),
        other => Err(format!("met {other:?}")),
    }
}

fn entry(name: &'static str, target: Target) -> Entry {
    Entry { name, target, threads: 32, blocks: 1, shared_bytes: 0 }
}

fn refused_ptx(gpu: &'static Gpu) -> Result<(), String> {
    let text = ".version 7.8\n.target sm_80\n.address_size 64\n.visible .entry broken() { nonsense; }\n";
    let kernel = gpu.modules.kernel(&entry("broken", Target::Sm80), Some(text)).map(drop);
    expect(
        kernel,
        |error| matches!(error, CudaError::PtxRejected { entry: "broken", log, .. } if !log.is_empty()),
    )
}

fn too_much_shared_memory(gpu: &'static Gpu) -> Result<(), String> {
    let too_much = Entry { shared_bytes: 1 << 20, ..entry("too_much_shared_memory", Target::Sm80) };
    expect(
        gpu.modules.kernel(&too_much, None).map(drop),
        |error| matches!(error, CudaError::InvalidInput(error) if error.field == "shared memory"),
    )
}

fn out_of_memory(gpu: &'static Gpu) -> Result<(), String> {
    let bytes = 1usize << 50;
    expect(DeviceBuffer::<u8>::allocate(&gpu.context, bytes).map(drop), |error| {
        *error == CudaError::OutOfMemory { bytes }
    })
}

fn no_such_device(_: &'static Gpu) -> Result<(), String> {
    expect(
        Context::new(4096).map(drop),
        |error| matches!(error, CudaError::InvalidInput(error) if error.field == "ordinal"),
    )
}

/// A lost context is lost for its process, so a child loses it.
fn lost_device(_: &'static Gpu) -> Result<(), String> {
    let executable = std::env::current_exe().map_err(text)?;
    let output = Command::new(executable).env(CHILD, "1").output().map_err(text)?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !stdout.contains("DeviceLost") {
        return Err(format!(
            "the child ended with {}: {stdout}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(())
}

pub(super) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// The child: a kernel writes where there is no memory.
pub(super) fn lose_the_device() -> ExitCode {
    match write_nowhere() {
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::SUCCESS
        }
    }
}

fn write_nowhere() -> Result<(), String> {
    let gpu = Gpu::get().map_err(text)?;
    let probe = entries().into_iter().find(|entry| entry.name == leader_barrier::NAME).ok_or("no probe")?;
    let kernel = gpu.modules.kernel(&probe, Some(leader_barrier::PTX)).map_err(text)?;
    let stream: Stream = stream(gpu)?;
    let (mut seed, mut address) = (1u32, 64u64);
    let mut arguments = [std::ptr::from_mut(&mut seed).cast(), std::ptr::from_mut(&mut address).cast()];
    // SAFETY: the arguments are of the kernel's types. The address is nobody's: the device refuses it.
    unsafe { kernel.launch(&stream, [1, 1, 1], &mut arguments) }.map_err(text)?;
    stream.synchronize().map_err(|error| format!("{error:?}"))
}
