//! Capture and replay.

use dustin::{
    attention::{
        arrays::AttentionStrides,
        launch::AttentionBuffers,
        reference,
        space::Candidate,
        synthetic::{NAN, Plant},
    },
    cuda::{CudaError, DeviceBuffer, Graph},
};
use dustin_kernels::registry::ATTENTION;
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
        trial("layers_whose_launches_overlap_have_the_bits_of_those_that_do_not", overlapping),
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

/// A chain in which each layer's queries are what the layer before has written.
fn overlapping(gpu: &'static Gpu) -> Result<(), String> {
    const LAYERS: usize = 6;
    let stream = stream(gpu)?;
    let variants = ATTENTION.iter().filter(|variant| variant.tile.overlaps);
    for (seed, variant) in variants.enumerate() {
        let candidate = Candidate { variant, splits: (1 + seed as u32 % 3).into() };
        let input = ragged_input(variant, seed as u64)?;
        let prepared = Prepared::new(&gpu.modules, &stream, &input, Asked::rounded(candidate))?;
        let first = prepared.buffers();
        let strides = AttentionStrides {
            query_row: first.strides.output_row,
            query_head: first.strides.output_head,
            ..first.strides
        };
        let mut layers = Vec::new();
        for _ in 0..LAYERS {
            layers.push(DeviceBuffer::of(&stream, &vec![NAN; input.output_items()]).map_err(text)?);
        }
        let launch = |layers: &[DeviceBuffer<u16>], stable| -> Result<(), CudaError> {
            let mut buffers = AttentionBuffers { stable, ..first };
            for layer in layers {
                buffers.output = layer.address();
                prepared.launch_with(&stream, &buffers)?;
                buffers = AttentionBuffers { query: layer.address(), strides, ..buffers };
            }
            Ok(())
        };
        let last = |layers: &[DeviceBuffer<u16>]| layers[LAYERS - 1].download(&stream).map_err(text);
        launch(&layers, false).map_err(text)?;
        let waiting = last(&layers)?;
        let mut graph = Graph::capture(&stream, || launch(&layers, true)).map_err(text)?;
        for captured in [false, true, true] {
            for layer in &mut layers {
                layer.upload(&stream, 0, &vec![NAN; input.output_items()]).map_err(text)?;
            }
            if captured {
                // SAFETY: what was captured lives in `prepared` and `layers`.
                unsafe { graph.launch(&stream) }.map_err(text)?;
            } else {
                launch(&layers, true).map_err(text)?;
            }
            if last(&layers)? != waiting {
                return Err(format!("{candidate}, seed {seed}, captured: {captured}: other bits"));
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
        let arrays =
            [(&mut prepared.input.set, &input.set), (&mut prepared.input.set_sizes, &input.set_sizes)];
        for (array, items) in arrays {
            let array = array.as_mut().ok_or("the problem has no sets")?;
            array.upload(&stream, 0, items).map_err(text)?;
        }
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
