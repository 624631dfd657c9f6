//! Capturing, against the reference, bit for bit.

use std::num::NonZero;

use dustin::cache::synthetic::{CaptureInput, CapturePlant};
use dustin_kernels::registry::{CAPTURE, CaptureVariant};
use dustin_tests::{
    cuda_cache::PreparedCapture,
    gpu::{Gpu, text, trial},
    score::for_each_seed,
};
use libtest_mimic::Trial;

use super::super::{problems, stream};

/// Random inputs, unless `DUSTIN_GPU_PROBLEMS` says otherwise.
const PROBLEMS: NonZero<usize> = NonZero::new(1000).unwrap();

pub(super) fn trials() -> Vec<Trial> {
    let planted = CapturePlant::ALL.into_iter().map(|plant| {
        let name = format!("a_planted_{plant:?}_is_reported_by_capture_and_leaves_what_it_should");
        trial(name, move |gpu| reported(gpu, plant))
    });
    let small = |variant: &'static CaptureVariant| {
        trial(format!("sanitize_{}", variant.id), move |gpu| sanitize(gpu, variant))
    };
    [
        trial("random_queries_are_captured_as_the_reference_does", random_inputs),
        trial("a_graph_of_capture_reads_rows_and_slots_at_its_replay", reads_at_replay),
    ]
    .into_iter()
    .chain(planted)
    .chain(CAPTURE.iter().map(small))
    .collect()
}

fn judge(gpu: &Gpu, input: &CaptureInput, variant: &'static CaptureVariant) -> Result<(), String> {
    let stream = stream(gpu)?;
    let prepared = PreparedCapture::new(&gpu.modules, &stream, input, variant)?;
    prepared.launch(&stream).map_err(text)?;
    same(variant, input, &prepared.captured(&stream)?)
}

fn same(
    variant: &'static CaptureVariant,
    input: &CaptureInput,
    captured: &(Vec<u16>, u64),
) -> Result<(), String> {
    if *captured != input.reference().map_err(text)? {
        return Err(format!("{}: slots or status {:#x} are not the reference's", variant.id, captured.1));
    }
    Ok(())
}

/// Now and then sequences as long as prompts are.
fn random_inputs(gpu: &'static Gpu) -> Result<(), String> {
    for_each_seed(problems(PROBLEMS)?, |index, seed| {
        let rows = if index % 16 == 0 { 2000 } else { 9 };
        let input = CaptureInput::random(seed, rows).map_err(text)?;
        judge(gpu, &input, &CAPTURE[index % CAPTURE.len()])
    });
    Ok(())
}

// Allocating and waiting are errors during a capture, so this shows too that a launch does neither.
fn reads_at_replay(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (variant, seed) in CAPTURE.iter().flat_map(|variant| (0..8).map(move |seed| (variant, seed))) {
        let mut input = CaptureInput::sound(seed, 9).map_err(text)?;
        let mut prepared = PreparedCapture::new(&gpu.modules, &stream, &input, variant)?;
        let mut graph = prepared.capture(&stream).map_err(text)?;
        // What was the last row of the batch is nobody's, slots turn round, and rows are the first ones.
        if let Some(end) = input.row_starts.last_mut() {
            *end = (*end - 1).max(0);
        }
        if let (Some(slots), Some(on_device)) = (&mut input.slots, &mut prepared.input.slots) {
            slots.reverse();
            on_device.upload(&stream, 0, slots).map_err(text)?;
        }
        if let (Some(rows), Some(on_device)) = (&mut input.rows, &mut prepared.input.rows) {
            rows.fill(0);
            on_device.upload(&stream, 0, rows).map_err(text)?;
        }
        prepared.input.row_starts.upload(&stream, 0, &input.row_starts).map_err(text)?;
        for _ in 0..2 {
            prepared.renew(&stream).map_err(text)?;
            // SAFETY: what was captured lives in `prepared`.
            unsafe { graph.launch(&stream) }.map_err(text)?;
            same(variant, &input, &prepared.captured(&stream)?)?;
        }
    }
    Ok(())
}

/// The status word stays until it is cleared.
fn reported(gpu: &'static Gpu, plant: CapturePlant) -> Result<(), String> {
    let stream = stream(gpu)?;
    let mut planted = 0;
    for (variant, seed) in CAPTURE.iter().flat_map(|variant| (0..40).map(move |seed| (variant, seed))) {
        let mut input = CaptureInput::sound(seed, 5).map_err(text)?;
        if !input.plant(plant, 0) {
            continue;
        }
        planted += 1;
        judge(gpu, &input, variant).map_err(|error| format!("{plant:?}, {seed}: {error}"))?;
        let prepared = PreparedCapture::new(&gpu.modules, &stream, &input, variant)?;
        prepared.launch(&stream).map_err(text)?;
        if prepared.workspace.status(&stream).map_err(text)?.is_none() {
            return Err(format!("{plant:?}, {seed}: nothing is reported"));
        }
        prepared.workspace.clear_status(&stream).map_err(text)?;
        if prepared.workspace.status(&stream).map_err(text)?.is_some() {
            return Err(format!("{plant:?}, {seed}: the status stays when it is cleared"));
        }
    }
    if planted == 0 { Err(format!("{plant:?} cannot be planted")) } else { Ok(()) }
}

/// Random inputs: cheap enough for compute-sanitizer. Filter by the name `sanitize`.
fn sanitize(gpu: &Gpu, variant: &'static CaptureVariant) -> Result<(), String> {
    (0..12).try_for_each(|seed| judge(gpu, &CaptureInput::random(seed, 9).map_err(text)?, variant))
}
