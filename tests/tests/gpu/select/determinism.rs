//! The same bits.

use cudarc::driver::CudaContext;
use dustin::{
    cuda::{Context, ModuleCache, Stream},
    select::synthetic::{Plant, Scores},
};
use dustin_tests::{
    cuda_select::Prepared,
    gpu::{Gpu, text, trial},
    select::{batch_of, judge, reference_of, set_of},
};
use libtest_mimic::Trial;

use super::{super::stream, candidates, ragged, rules};

/// Maps with many ties, where an order that is not defined would show.
const TIES: [Scores; 3] = [Scores::Equal, Scores::TwoValues, Scores::Zeros];

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("every_launch_and_every_replay_of_selection_gives_the_same_sets", repeatable),
        trial("the_set_of_a_sequence_is_the_same_in_any_batch", any_batch),
        trial("a_graph_of_selection_reads_lengths_and_maps_at_its_replay", reads_at_replay),
        trial("a_stream_of_another_binding_serves_selection", other_binding),
    ]
}

// Allocating and waiting are errors during a capture, so this shows too that a launch does neither.
fn repeatable(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, kind) in TIES.into_iter().enumerate() {
        let input = ragged(rules(), kind, kind, seed as u64)?;
        for candidate in candidates(gpu)? {
            let mut prepared = Prepared::new(&gpu.modules, &stream, &input, candidate)?;
            let first = prepared.select(&stream)?;
            let mut graph = prepared.capture(&stream).map_err(text)?;
            for replayed in [false, true, true, false] {
                prepared.renew_output(&stream).map_err(text)?;
                if replayed {
                    // SAFETY: what was captured lives in `prepared`.
                    unsafe { graph.launch(&stream) }.map_err(text)?;
                } else {
                    prepared.launch(&stream).map_err(text)?;
                }
                if prepared.selected(&stream)? != first {
                    return Err(format!("{candidate}, {kind:?}, replayed: {replayed}: two launches differ"));
                }
            }
        }
    }
    Ok(())
}

fn any_batch(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, kind) in TIES.into_iter().enumerate() {
        let input = ragged(rules(), Scores::Softmax, kind, seed as u64)?;
        let count = input.problem.batch as usize;
        for candidate in candidates(gpu)? {
            let whole = Prepared::new(&gpu.modules, &stream, &input, candidate)?.select(&stream)?;
            let alone = (0..count).map(|sequence| vec![sequence]);
            for order in alone.chain([(0..count).rev().collect()]) {
                let batch = batch_of(&input, &order);
                let selected = Prepared::new(&gpu.modules, &stream, &batch, candidate)?.select(&stream)?;
                for (place, &sequence) in order.iter().enumerate() {
                    if set_of(&batch, &selected, place) != set_of(&input, &whole, sequence) {
                        return Err(format!(
                            "{candidate}, {kind:?}: sequence {sequence} differs in {order:?}"
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

fn reads_at_replay(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    let clean = ragged(rules(), Scores::Softmax, Scores::Softmax, 5)?;
    let other = ragged(rules(), Scores::TwoValues, Scores::Crowded, 6)?;
    for candidate in candidates(gpu)? {
        let mut prepared = Prepared::new(&gpu.modules, &stream, &clean, candidate)?;
        let mut graph = prepared.capture(&stream).map_err(text)?;

        // Another length, another map, and a fault that was not there at the capture.
        let mut input = clean.clone();
        input.lengths[0] -= 4321;
        input.target = other.target.clone();
        input.plant(Plant::LengthNegative, 7);
        prepared.input.lengths.upload(&stream, 0, &input.lengths).map_err(text)?;
        if let (Some(map), Some(items)) = (&mut prepared.input.target, &input.target) {
            map.upload(&stream, 0, items).map_err(text)?;
        }
        // SAFETY: what was captured lives in `prepared`.
        unsafe { graph.launch(&stream) }.map_err(text)?;
        judge(&input, &reference_of(&input)?, &prepared.selected(&stream)?)
            .map_err(|error| format!("{candidate}: {error}"))?;
    }
    Ok(())
}

fn other_binding(gpu: &'static Gpu) -> Result<(), String> {
    let theirs = CudaContext::new(0).map_err(text)?;
    let their_stream = theirs.new_stream().map_err(text)?;
    // SAFETY: the context outlives all that is made of it here.
    let context = unsafe { Context::borrow(theirs.cu_ctx().cast()) }.map_err(text)?;
    // SAFETY: the stream belongs to the context and outlives this one.
    let stream = unsafe { Stream::borrow(&context, their_stream.cu_stream().cast()) };
    let modules = ModuleCache::new(&context).map_err(text)?;
    let input = ragged(rules(), Scores::Softmax, Scores::Softmax, 7)?;
    let reference = reference_of(&input)?;
    for candidate in candidates(gpu)? {
        let selected = Prepared::new(&modules, &stream, &input, candidate)?.select(&stream)?;
        judge(&input, &reference, &selected).map_err(|error| format!("{candidate}: {error}"))?;
    }
    their_stream.synchronize().map_err(text)
}
