//! Appending, against the reference, bit for bit.

use std::num::NonZero;

use dustin::{
    cache::{
        append::{launch::AppendPlan, problem::AppendProblem},
        compare::{Written, compare},
        layer::Layer,
        synthetic::{AppendInput, Plant, Recipe, SequenceShape},
    },
    cuda::{AppendKernel, DeviceBuffer},
    kv::{KvLayout, PagedKv},
};
use dustin_kernels::{
    fault::Fault,
    registry::{APPEND, AppendVariant},
};
use dustin_tests::{
    cuda_cache::PreparedAppend,
    gpu::{Gpu, text, trial},
    score::for_each_seed,
};
use libtest_mimic::Trial;

use super::super::{
    large::{ITEMS, large_trial},
    problems, stream,
};

/// Random steps, unless `DUSTIN_GPU_PROBLEMS` says otherwise.
const PROBLEMS: NonZero<usize> = NonZero::new(2000).unwrap();

pub(super) fn trials() -> Vec<Trial> {
    let planted = Plant::ALL.into_iter().map(|plant| {
        let name = format!("a_planted_{plant:?}_is_reported_by_append_and_leaves_what_it_should");
        trial(name, move |gpu| reported(gpu, plant))
    });
    let small = |variant: &'static AppendVariant| {
        trial(format!("sanitize_{}", variant.id), move |gpu| sanitize(gpu, variant))
    };
    [
        trial("random_steps_are_appended_as_the_reference_does", random_steps),
        trial("every_launch_and_every_replay_of_append_leaves_the_same_caches", repeatable),
        trial("a_graph_of_append_reads_lengths_and_rows_at_its_replay", reads_at_replay),
        trial("the_status_word_of_append_stays_until_it_is_cleared", sticky),
        large_trial("rows_are_appended_beyond_2_to_the_32_items", wide_offsets),
    ]
    .into_iter()
    .chain(planted)
    .chain(APPEND.iter().map(small))
    .collect()
}

/// A ragged step of W1's geometry.
fn recipe(seed: u64) -> Recipe {
    let shape = |length, rows| SequenceShape { length, rows };
    Recipe {
        page_size: 16,
        layout: if seed.is_multiple_of(2) { KvLayout::Nhd } else { KvLayout::Hnd },
        interleaved: seed.is_multiple_of(3),
        sequences: vec![
            shape(0, 5),
            shape(700, 0),
            shape(32_767, 5),
            shape(16, 64),
            shape(250, 8),
            shape(31, 1),
        ],
        group: 8,
        spare: 2,
        padding: 1,
        ..Recipe::uniform(1, shape(0, 0), 8, 128, seed)
    }
}

fn judge(gpu: &Gpu, input: &AppendInput, variant: &'static AppendVariant) -> Result<(), String> {
    let stream = stream(gpu)?;
    let written = PreparedAppend::new(&gpu.modules, &stream, input, variant)?.append(&stream)?;
    let reference = input.reference().map_err(text)?;
    compare(&reference, &written).map_err(|error| format!("{}: {error}\n{:#?}", variant.id, input.step))
}

/// Now and then a long one.
fn random_steps(gpu: &'static Gpu) -> Result<(), String> {
    for_each_seed(problems(PROBLEMS)?, |index, seed| {
        let [length, rows] = if index % 16 == 0 { [100_000, 64] } else { [600, 9] };
        let input = AppendInput::random(seed, length, rows).map_err(text)?;
        judge(gpu, &input, &APPEND[index % APPEND.len()])
    });
    Ok(())
}

// Allocating and waiting are errors during a capture, so this shows too that a launch does neither.
fn repeatable(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, variant) in APPEND.iter().enumerate() {
        let input = AppendInput::new(&recipe(seed as u64)).map_err(text)?;
        let mut prepared = PreparedAppend::new(&gpu.modules, &stream, &input, variant)?;
        let first = prepared.append(&stream)?;
        let mut graph = prepared.capture(&stream).map_err(text)?;
        for (renewed, replayed) in [(true, false), (true, true), (false, true), (false, false), (true, true)]
        {
            if renewed {
                prepared.renew(&stream).map_err(text)?;
            }
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
    for (seed, variant) in APPEND.iter().enumerate() {
        let mut input = AppendInput::new(&recipe(seed as u64)).map_err(text)?;
        let mut prepared = PreparedAppend::new(&gpu.modules, &stream, &input, variant)?;
        let mut graph = prepared.capture(&stream).map_err(text)?;
        // Another length, fewer rows, and a fault that was not there at the capture.
        input.step.lengths[4] += 1;
        input.step.row_starts[6] -= 1;
        input.step.plant(Plant::LengthNegative, 2);
        prepared.input.step.lengths.upload(&stream, 0, &input.step.lengths).map_err(text)?;
        prepared.input.step.row_starts.upload(&stream, 0, &input.step.row_starts).map_err(text)?;
        // SAFETY: what was captured lives in `prepared`.
        unsafe { graph.launch(&stream) }.map_err(text)?;
        compare(&input.reference().map_err(text)?, &prepared.written(&stream)?)
            .map_err(|error| format!("{}: {error}", variant.id))?;
    }
    Ok(())
}

fn reported(gpu: &Gpu, plant: Plant) -> Result<(), String> {
    for sequence in [0, 2, 4] {
        let mut input = AppendInput::new(&recipe(3)).map_err(text)?;
        if !input.step.plant(plant, sequence) || input.reference().map_err(text)?.status == 0 {
            return Err(format!("{plant:?} cannot be planted"));
        }
        for variant in APPEND {
            judge(gpu, &input, variant).map_err(|error| format!("{plant:?} in {sequence}: {error}"))?;
        }
    }
    Ok(())
}

fn sticky(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for variant in APPEND {
        let clean = AppendInput::new(&recipe(4)).map_err(text)?;
        let mut prepared = PreparedAppend::new(&gpu.modules, &stream, &clean, variant)?;
        let mut faulty = clean.clone();
        faulty.step.plant(Plant::LengthNegative, 4);
        let word = Some((Fault::Length, 4));
        for (when, lengths, expected) in [
            ("after a clean launch", &clean.step.lengths, None),
            ("after a faulty launch", &faulty.step.lengths, word),
            ("after a clean launch behind a faulty one", &clean.step.lengths, word),
        ] {
            prepared.input.step.lengths.upload(&stream, 0, lengths).map_err(text)?;
            prepared.launch(&stream).map_err(text)?;
            let actual = prepared.workspace.status(&stream).map_err(text)?;
            if actual != expected {
                return Err(format!(
                    "{}: {when} the status is {actual:?} instead of {expected:?}",
                    variant.id
                ));
            }
        }
        prepared.workspace.clear_status(&stream).map_err(text)?;
        prepared.launch(&stream).map_err(text)?;
        if prepared.workspace.status(&stream).map_err(text)?.is_some() {
            return Err(format!("{}: the status returns after clearing and a clean launch", variant.id));
        }
    }
    Ok(())
}

/// Keys at the start of each page's share of one array, values in its middle, the pages far apart.
fn wide_offsets(gpu: &Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    let mut memory = DeviceBuffer::<u16>::allocate(&gpu.context, ITEMS as usize).map_err(text)?;
    for (seed, variant) in APPEND.iter().enumerate() {
        let mut near = AppendInput::new(&recipe(seed as u64)).map_err(text)?;
        near.layer.items.fill(0xffff);
        let prepared = PreparedAppend::new(&gpu.modules, &stream, &near, variant)?;
        let (mut step, kv) = (near.step.step, near.step.step.kv);
        let page_stride = ITEMS / u64::from(kv.pages) / 16 * 16;
        step.kv = PagedKv { page_stride, ..kv };
        let mut buffers = prepared.buffers();
        buffers.key_cache = memory.address();
        buffers.value_cache = memory.address() + page_stride / 2 * size_of::<u16>() as u64;
        memory.fill(&stream, 0xff).map_err(text)?;
        let plan = AppendPlan::new(&AppendProblem { step, ..near.problem() }, variant).map_err(text)?;
        let kernel = AppendKernel::new(&gpu.modules, plan).map_err(text)?;
        // SAFETY: all arrays live until they have been read below, behind a wait.
        unsafe { kernel.launch(&stream, &buffers) }.map_err(text)?;

        // Back to the near layout, half a page at a time.
        let Layer { mut items, value, separate } = near.layer.clone();
        let share = if separate { kv.page_stride } else { kv.page_stride / 2 };
        for page in 0..u64::from(kv.pages) {
            let end = if separate { value } else { items.len() as u64 };
            for (near, far, end) in [(0, 0, end), (value, page_stride / 2, items.len() as u64)] {
                let to = page * kv.page_stride + near;
                let share = share.min(end - to) as usize;
                let from = (page * page_stride + far) as usize;
                let got = memory.download_range(&stream, from, share).map_err(text)?;
                items[to as usize..][..share].copy_from_slice(&got);
            }
        }
        let layers = vec![Layer { items, ..near.layer.clone() }];
        let written = Written { layers, ..prepared.written(&stream)? };
        compare(&near.reference().map_err(text)?, &written)
            .map_err(|error| format!("{}: {error}", variant.id))?;
    }
    Ok(())
}

/// A ragged step and random ones: cheap enough for compute-sanitizer. Filter by the name `sanitize`.
fn sanitize(gpu: &Gpu, variant: &'static AppendVariant) -> Result<(), String> {
    judge(gpu, &AppendInput::new(&recipe(5)).map_err(text)?, variant)?;
    (0..8).try_for_each(|seed| judge(gpu, &AppendInput::random(seed, 700, 9).map_err(text)?, variant))
}
