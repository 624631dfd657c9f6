//! Compacting, against the reference, bit for bit.

use std::num::NonZero;

use dustin::{
    cache::{
        compare::{Written, compare},
        synthetic::{Acceptance, CompactInput, ListPlant, Plant, Recipe, SequenceShape},
    },
    kv::KvLayout,
};
use dustin_kernels::{
    fault::Fault,
    registry::{COMPACT, CompactVariant},
};
use dustin_tests::{
    cuda_cache::PreparedCompact,
    gpu::{Gpu, text, trial},
    score::for_each_seed,
};
use libtest_mimic::Trial;

use super::super::{problems, stream};

/// Random steps, unless `DUSTIN_GPU_PROBLEMS` says otherwise.
const PROBLEMS: NonZero<usize> = NonZero::new(2000).unwrap();

pub(super) fn trials() -> Vec<Trial> {
    let of_step = Plant::ALL.into_iter().map(|plant| {
        let name = format!("a_planted_{plant:?}_is_reported_by_compact_and_leaves_what_it_should");
        trial(name, move |gpu| reported(gpu, |input, sequence| input.step.plant(plant, sequence)))
    });
    let of_list = ListPlant::ALL.into_iter().map(|plant| {
        let name = format!("a_list_planted_{plant:?}_is_reported_and_leaves_what_it_should");
        trial(name, move |gpu| reported(gpu, |input, sequence| input.plant(plant, sequence)))
    });
    let small = |variant: &'static CompactVariant| {
        trial(format!("sanitize_{}", variant.id), move |gpu| sanitize(gpu, variant))
    };
    [
        trial("random_steps_are_compacted_as_the_reference_does", random_steps),
        trial("eighty_layers_are_compacted_as_the_reference_does", many_layers),
        trial("every_launch_and_every_replay_of_compact_leaves_the_same_caches", repeatable),
        trial("a_graph_of_compact_reads_lists_and_lengths_at_its_replay", reads_at_replay),
        trial("a_layer_without_a_sound_address_is_reported_and_left_as_it_is", unsound_layers),
    ]
    .into_iter()
    .chain(of_step)
    .chain(of_list)
    .chain(COMPACT.iter().map(small))
    .collect()
}

/// A ragged step: trees, a chain, no rows, and rows across the ends of pages.
fn recipe(seed: u64) -> Recipe {
    let shape = |length, rows| SequenceShape { length, rows };
    Recipe {
        page_size: 16,
        layout: if seed.is_multiple_of(2) { KvLayout::Nhd } else { KvLayout::Hnd },
        interleaved: seed.is_multiple_of(3),
        sequences: vec![
            shape(0, 16),
            shape(700, 0),
            shape(32_767, 5),
            shape(17, 64),
            shape(250, 40),
            shape(31, 1),
        ],
        spare: 2,
        padding: 1,
        ..Recipe::uniform(1, shape(0, 0), 8, 128, seed)
    }
}

fn input(seed: u64, layers: u32) -> Result<CompactInput, String> {
    let acceptance = Acceptance { layers, accepted: None, counted: seed.is_multiple_of(2) };
    CompactInput::new(&recipe(seed), acceptance).map_err(text)
}

fn judge(gpu: &Gpu, input: &CompactInput, variant: &'static CompactVariant) -> Result<(), String> {
    let stream = stream(gpu)?;
    let written = PreparedCompact::new(&gpu.modules, &stream, input, variant)?.compact(&stream)?;
    let reference = input.reference().map_err(text)?;
    compare(&reference, &written).map_err(|error| format!("{}: {error}\n{:#?}", variant.id, input.step))
}

/// Now and then a long one of large trees.
fn random_steps(gpu: &'static Gpu) -> Result<(), String> {
    for_each_seed(problems(PROBLEMS)?, |index, seed| {
        let [length, rows] = if index % 16 == 0 { [100_000, 64] } else { [600, 16] };
        let input = CompactInput::random(seed, length, rows).map_err(text)?;
        judge(gpu, &input, &COMPACT[index % COMPACT.len()])
    });
    Ok(())
}

fn many_layers(gpu: &'static Gpu) -> Result<(), String> {
    let input = input(6, 80)?;
    COMPACT.iter().try_for_each(|variant| judge(gpu, &input, variant))
}

// Allocating and waiting are errors during a capture, so this shows too that a launch does neither.
fn repeatable(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, variant) in COMPACT.iter().enumerate() {
        let input = input(seed as u64, 3)?;
        let mut prepared = PreparedCompact::new(&gpu.modules, &stream, &input, variant)?;
        let first = prepared.compact(&stream)?;
        let mut graph = prepared.capture(&stream).map_err(text)?;
        for replayed in [false, true, true, false] {
            prepared.renew(&stream).map_err(text)?;
            if replayed {
                // SAFETY: what was captured lives in `prepared`.
                unsafe { graph.launch(&stream) }.map_err(text)?;
            } else {
                prepared.launch(&stream).map_err(text)?;
            }
            if prepared.written(&stream)? != first {
                return Err(format!("{}, replayed: {replayed}: two launches differ", variant.id));
            }
        }
    }
    Ok(())
}

fn reads_at_replay(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for variant in COMPACT {
        let mut input = input(2, 3)?;
        let mut prepared = PreparedCompact::new(&gpu.modules, &stream, &input, variant)?;
        let mut graph = prepared.capture(&stream).map_err(text)?;
        // Another list, another length, and faults that were not there at the capture.
        input.step.lengths[4] += 1;
        input.plant(ListPlant::CountNegative, 0);
        input.step.plant(Plant::LengthNegative, 2);
        let start = 3 * input.accepted_stride as usize;
        input.accepted[start..start + 2].copy_from_slice(&[1, 63]);
        if let (Some(counts), Some(on_device)) = (&mut input.counts, &mut prepared.input.counts) {
            counts[3] = 2;
            on_device.upload(&stream, 0, counts).map_err(text)?;
        }
        prepared.input.accepted.upload(&stream, 0, &input.accepted).map_err(text)?;
        prepared.input.step.lengths.upload(&stream, 0, &input.step.lengths).map_err(text)?;
        // SAFETY: what was captured lives in `prepared`.
        unsafe { graph.launch(&stream) }.map_err(text)?;
        compare(&input.reference().map_err(text)?, &prepared.written(&stream)?)
            .map_err(|error| format!("{}: {error}", variant.id))?;
    }
    Ok(())
}

fn reported(gpu: &Gpu, plant: impl Fn(&mut CompactInput, usize) -> bool) -> Result<(), String> {
    for sequence in [0, 4] {
        let acceptance = Acceptance { layers: 2, accepted: Some(5), counted: true };
        let mut input = CompactInput::new(&recipe(3), acceptance).map_err(text)?;
        if !plant(&mut input, sequence) || input.reference().map_err(text)?.status == 0 {
            return Err(format!("the fault cannot be planted in {sequence}"));
        }
        for variant in COMPACT {
            judge(gpu, &input, variant).map_err(|error| format!("in {sequence}: {error}"))?;
        }
    }
    Ok(())
}

/// The status word stays until it is cleared.
fn unsound_layers(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    let input = input(4, 3)?;
    let mut reference = input.reference().map_err(text)?;
    reference.layers[1] = input.layers[1].clone();
    for variant in COMPACT {
        let mut prepared = PreparedCompact::new(&gpu.modules, &stream, &input, variant)?;
        let sound = prepared.input.key_caches.download(&stream).map_err(text)?;
        for bad in [0, sound[1] + 8] {
            prepared.renew(&stream).map_err(text)?;
            prepared.input.key_caches.upload(&stream, 1, &[bad]).map_err(text)?;
            let written = prepared.compact(&stream)?;
            let expected = Written { status: Fault::Layer.word(1), ..reference.clone() };
            compare(&expected, &written).map_err(|error| format!("{}: {error}", variant.id))?;
        }
        prepared.input.key_caches.upload(&stream, 0, &sound).map_err(text)?;
        prepared.launch(&stream).map_err(text)?;
        let status = || prepared.workspace.status(&stream).map_err(text);
        if status()? != Some((Fault::Layer, 1)) {
            return Err(format!("{}: a clean launch clears the status", variant.id));
        }
        prepared.workspace.clear_status(&stream).map_err(text)?;
        prepared.launch(&stream).map_err(text)?;
        if let Some(fault) = status()? {
            return Err(format!("{}: a clean launch reports {fault:?}", variant.id));
        }
    }
    Ok(())
}

/// A ragged step and random ones: cheap enough for compute-sanitizer. Filter by the name `sanitize`.
fn sanitize(gpu: &Gpu, variant: &'static CompactVariant) -> Result<(), String> {
    judge(gpu, &input(5, 2)?, variant)?;
    (0..8).try_for_each(|seed| judge(gpu, &CompactInput::random(seed, 700, 16).map_err(text)?, variant))
}
