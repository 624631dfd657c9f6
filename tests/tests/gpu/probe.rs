//! The compiler's probe.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use dustin::cuda::DeviceBuffer;
use dustin_kernels::{probes::leader_barrier, registry::entries};
use dustin_tests::gpu::{Gpu, text, trial};
use libtest_mimic::Trial;

use super::stream;

/// A duplicated barrier never ends; the probe takes microseconds.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn trials() -> Vec<Trial> {
    vec![trial("a_barrier_between_two_leader_only_sections_is_not_duplicated", leader_barrier_ends)]
}

fn leader_barrier_ends(gpu: &'static Gpu) -> Result<(), String> {
    let entry = entries()
        .into_iter()
        .find(|entry| entry.name == leader_barrier::NAME)
        .ok_or("the probe is not among the entries")?;
    let kernel = gpu.modules.kernel(&entry, Some(leader_barrier::PTX)).map_err(text)?;
    let stream = stream(gpu)?;
    let output = DeviceBuffer::of(&stream, &[u32::MAX; leader_barrier::THREADS as usize]).map_err(text)?;
    let (mut seed, mut address) = (14u32, output.address());
    let mut arguments = [std::ptr::from_mut(&mut seed).cast(), std::ptr::from_mut(&mut address).cast()];
    // SAFETY: the kernel takes a u32 and an address of as many items as it has threads.
    unsafe { kernel.launch(&stream, [1, 1, 1], &mut arguments) }.map_err(text)?;

    let start = Instant::now();
    while !stream.is_idle().map_err(text)? {
        if start.elapsed() > LIMIT {
            // Freeing would wait for the kernel.
            std::mem::forget(output);
            return Err(format!("the probe has not ended within {LIMIT:?}: a barrier was duplicated"));
        }
        sleep(Duration::from_millis(1));
    }
    let expected: Vec<u32> = (0..leader_barrier::THREADS).map(|thread| 3 * 14 + 1 + thread).collect();
    let actual = output.download(&stream).map_err(text)?;
    if actual != expected {
        return Err(format!("expected {expected:?}, but the probe wrote {actual:?}"));
    }
    Ok(())
}
