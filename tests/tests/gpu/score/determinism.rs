//! The same bits.

use cudarc::driver::CudaContext;
use dustin::{
    cuda::{Context, ModuleCache, Stream},
    score::{space::Candidate, synthetic::Plant},
};
use dustin_kernels::registry::FOLD;
use dustin_tests::{
    cuda_score::Prepared,
    gpu::{Gpu, text, trial},
    score::{batch_of, judge, reference_of},
};
use libtest_mimic::Trial;

use super::{super::stream, candidates, ragged_input};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("every_launch_and_every_replay_of_scoring_gives_the_same_bits", repeatable),
        trial("scores_of_a_sequence_are_the_same_in_any_batch_whatever_the_splits", any_batch),
        trial("a_graph_of_scoring_reads_lengths_and_tables_at_its_replay", reads_at_replay),
        trial("a_stream_of_another_binding_serves_scoring", other_binding),
    ]
}

// Allocating and waiting are errors during a capture, so this shows too that a job does neither.
fn repeatable(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in candidates().enumerate() {
        let input = ragged_input(candidate, seed as u64)?;
        let mut prepared = Prepared::new(&gpu.modules, &stream, &input, candidate)?;
        let first = prepared.score(&stream)?.bits();
        let mut graph = prepared.capture(&stream).map_err(text)?;
        for replayed in [false, true, true, false] {
            prepared.renew_map(&stream).map_err(text)?;
            if replayed {
                // SAFETY: what was captured lives in `prepared`.
                unsafe { graph.launch(&stream) }.map_err(text)?;
            } else {
                prepared.launch(&stream).map_err(text)?;
            }
            if prepared.scored(&stream)?.bits() != first {
                return Err(format!("{candidate}, seed {seed}, replayed: {replayed}: two jobs differ"));
            }
        }
    }
    Ok(())
}

fn any_batch(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in candidates().enumerate() {
        let input = ragged_input(candidate, seed as u64)?;
        let whole = Prepared::new(&gpu.modules, &stream, &input, candidate)?.score(&stream)?;
        let count = input.problem.batch as usize;
        let alone = (0..count).map(|sequence| vec![sequence]);
        for (number, order) in alone.chain([(0..count).rev().collect()]).enumerate() {
            let batch = batch_of(&input, &order);
            let other =
                Candidate { fold: &FOLD[number % FOLD.len()], splits: 1 + number as u32, ..candidate };
            let scored = Prepared::new(&gpu.modules, &stream, &batch, other)?.score(&stream)?;
            for (place, &sequence) in order.iter().enumerate() {
                if scored.bits_of(&batch, place) != whole.bits_of(&input, sequence) {
                    return Err(format!(
                        "{candidate}, seed {seed}: sequence {sequence} differs in {order:?}, {other}"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn reads_at_replay(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in candidates().enumerate() {
        let mut input = ragged_input(candidate, seed as u64)?;
        let mut prepared = Prepared::new(&gpu.modules, &stream, &input, candidate)?;
        let mut graph = prepared.capture(&stream).map_err(text)?;

        // Other lengths, and a fault that was not there at the capture.
        input.lengths[0] -= 1234;
        input.lengths[2] = 0;
        input.plant(Plant::PageNegative, 0);
        prepared.input.lengths.upload(&stream, 0, &input.lengths).map_err(text)?;
        prepared.input.block_table.upload(&stream, 0, &input.block_table).map_err(text)?;
        // SAFETY: what was captured lives in `prepared`.
        unsafe { graph.launch(&stream) }.map_err(text)?;
        judge(&input, &reference_of(&input)?, &prepared.scored(&stream)?)
            .map_err(|error| format!("{candidate}, seed {seed}: {error}"))?;
    }
    Ok(())
}

fn other_binding(_: &'static Gpu) -> Result<(), String> {
    let theirs = CudaContext::new(0).map_err(text)?;
    let their_stream = theirs.new_stream().map_err(text)?;
    // SAFETY: the context outlives all that is made of it here.
    let context = unsafe { Context::borrow(theirs.cu_ctx().cast()) }.map_err(text)?;
    // SAFETY: the stream belongs to the context and outlives this one.
    let stream = unsafe { Stream::borrow(&context, their_stream.cu_stream().cast()) };
    let modules = ModuleCache::new(&context).map_err(text)?;
    for candidate in candidates().take(3) {
        let input = ragged_input(candidate, 1)?;
        let scored = Prepared::new(&modules, &stream, &input, candidate)?.score(&stream)?;
        judge(&input, &reference_of(&input)?, &scored).map_err(|error| format!("{candidate}: {error}"))?;
    }
    their_stream.synchronize().map_err(text)
}
