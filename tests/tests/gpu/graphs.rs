//! Capture and replay.

use dustin::{
    attention::{reference, synthetic::Plant},
    cuda::Graph,
};
use dustin_tests::{
    cuda_backend::{Asked, Prepared},
    gpu::{Gpu, text, trial},
    verdict::judge,
};
use libtest_mimic::Trial;

use super::{ragged_input, some_variants, stream};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("a_replayed_graph_gives_the_bits_of_a_launch", replayed),
        trial("a_graph_reads_lengths_and_sets_at_its_replay", reads_at_replay),
        trial("a_failed_capture_leaves_the_stream_usable", failed_capture),
    ]
}

// Allocating and waiting are errors during a capture, so this shows too that a launch does neither.
fn replayed(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in some_variants().enumerate() {
        let input = ragged_input(candidate.variant, seed as u64)?;
        let mut prepared = Prepared::new(&gpu.modules, &stream, &input, Asked::rounded(candidate))?;
        let eager = prepared.attend(&stream)?.output.bits();
        let mut graph = Graph::capture(&stream, || {
            prepared.launch(&stream)?;
            prepared.launch(&stream)
        })
        .map_err(text)?;
        for _ in 0..3 {
            prepared.poison(&stream).map_err(text)?;
            // SAFETY: what was captured lives in `prepared`.
            unsafe { graph.launch(&stream) }.map_err(text)?;
            if prepared.attended(&stream)?.output.bits() != eager {
                return Err(format!("{candidate}, seed {seed}: the replay differs from the launch"));
            }
        }
    }
    Ok(())
}

fn reads_at_replay(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in some_variants().enumerate() {
        let mut input = ragged_input(candidate.variant, seed as u64)?;
        let asked = Asked::rounded(candidate);
        let mut prepared = Prepared::new(&gpu.modules, &stream, &input, asked)?;
        let mut graph = Graph::capture(&stream, || prepared.launch(&stream)).map_err(text)?;

        // Other sets, and a fault that was not there at the capture.
        input.set_sizes[0] -= 7;
        input.set_sizes[3] = 11;
        input.plant(Plant::PositionBeyond, 3);
        prepared.input.set.upload(&stream, 0, &input.set).map_err(text)?;
        prepared.input.set_sizes.upload(&stream, 0, &input.set_sizes).map_err(text)?;
        // SAFETY: what was captured lives in `prepared`.
        unsafe { graph.launch(&stream) }.map_err(text)?;
        let reference = reference::attention(&input.problem, &input.arrays()).map_err(text)?;
        judge(&input, &reference, &prepared.attended(&stream)?, asked.lse_base)
            .map_err(|error| format!("{candidate}, seed {seed}: {error}"))?;
    }
    Ok(())
}

fn failed_capture(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    let refused = Graph::capture(&stream, || stream.synchronize());
    if refused.is_ok() {
        return Err("waiting for the stream was captured".into());
    }
    stream.synchronize().map_err(text)?;
    for candidate in some_variants().take(1) {
        let input = ragged_input(candidate.variant, 0)?;
        let reference = reference::attention(&input.problem, &input.arrays()).map_err(text)?;
        let asked = Asked::rounded(candidate);
        let attended = Prepared::new(&gpu.modules, &stream, &input, asked)?.attend(&stream)?;
        judge(&input, &reference, &attended, asked.lse_base)?;
    }
    Ok(())
}
