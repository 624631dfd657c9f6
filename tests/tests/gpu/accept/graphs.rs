//! Capture and replay, and what must make no difference.

use std::collections::BTreeSet;

use dustin::accept::{
    compare::{Accepted, compare},
    synthetic::{AcceptInput, Recipe},
};
use dustin_kernels::registry::{ACCEPT_ROWS, ACCEPT_WALK};
use dustin_tests::{
    cuda_accept::{PreparedAccept, judge},
    gpu::{Gpu, text, trial},
};
use libtest_mimic::Trial;

use super::super::stream;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("each_replay_of_a_graph_of_acceptance_is_a_step_of_its_own", replays),
        trial("a_graph_of_acceptance_reads_its_arrays_at_its_replay", reads_at_replay),
        trial("acceptance_gives_the_same_bits_whenever_it_is_launched_at_the_same_step", repeatable),
        trial("a_sequences_tokens_do_not_depend_on_the_others_of_the_batch", alone),
    ]
}

// Allocating and waiting are errors during a capture, so this shows too that launches do neither.
fn replays(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for walk in ACCEPT_WALK {
        let mut input = AcceptInput::new(&Recipe::uniform(4, 5, 20_000, 2)).map_err(text)?;
        let prepared = PreparedAccept::new(&gpu.modules, &stream, &input, &ACCEPT_ROWS[0], walk)?;
        let mut graph = prepared.capture(&stream).map_err(text)?;
        let mut seen = BTreeSet::new();
        for replay in 0..20 {
            // SAFETY: what was captured lives in `prepared`.
            unsafe { graph.launch(&stream) }.map_err(text)?;
            let given = prepared.accepted(&stream)?;
            compare(&input.problem, &input.arrays(), &given)
                .map_err(|error| format!("{}, replay {replay}: {error}", walk.id))?;
            seen.insert(given.emitted);
            input.step += 1;
        }
        if seen.len() < 15 {
            return Err(format!("{}: {} different results of 20 steps", walk.id, seen.len()));
        }
    }
    Ok(())
}

fn reads_at_replay(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for walk in ACCEPT_WALK {
        let mut input = AcceptInput::new(&Recipe::uniform(4, 5, 3000, 3)).map_err(text)?;
        let mut prepared = PreparedAccept::new(&gpu.modules, &stream, &input, &ACCEPT_ROWS[0], walk)?;
        let mut graph = prepared.capture(&stream).map_err(text)?;
        // A greedy sequence, one that is hotter, other seeds, fewer rows, and another token.
        input.temperatures[1..3].copy_from_slice(&[0.0, 1.5]);
        input.seeds.iter_mut().for_each(|seed| *seed += 1);
        input.row_starts[4] -= 2;
        input.tokens[1] = 7;
        input.step = 1 << 33;
        let device = &mut prepared.input;
        device.temperatures.upload(&stream, 0, &input.temperatures).map_err(text)?;
        device.seeds.upload(&stream, 0, &input.seeds).map_err(text)?;
        device.row_starts.upload(&stream, 0, &input.row_starts).map_err(text)?;
        device.tokens.upload(&stream, 0, &input.tokens).map_err(text)?;
        device.step.upload(&stream, 0, &[input.step]).map_err(text)?;
        // SAFETY: what was captured lives in `prepared`.
        unsafe { graph.launch(&stream) }.map_err(text)?;
        let given = prepared.accepted(&stream)?;
        compare(&input.problem, &input.arrays(), &given).map_err(|error| format!("{}: {error}", walk.id))?;
    }
    Ok(())
}

fn repeatable(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (walk, seed) in ACCEPT_WALK.iter().flat_map(|walk| (0..20).map(move |seed| (walk, seed))) {
        let input = AcceptInput::random(seed, 30_000, 24).map_err(text)?;
        let mut prepared = PreparedAccept::new(&gpu.modules, &stream, &input, &ACCEPT_ROWS[0], walk)?;
        let first = prepared.accept(&stream)?;
        for _ in 0..4 {
            prepared.input.step.upload(&stream, 0, &[input.step]).map_err(text)?;
            if prepared.accept(&stream)? != first {
                return Err(format!("{}, {seed}: two launches differ", walk.id));
            }
        }
    }
    Ok(())
}

fn alone(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    let first = |input: &AcceptInput, given: &Accepted| {
        let rows = input.problem.rows as usize;
        (given.emitted[..rows].to_vec(), given.path[..rows].to_vec())
    };
    for (walk, seed) in ACCEPT_WALK.iter().flat_map(|walk| (0..20).map(move |seed| (walk, seed))) {
        let whole = AcceptInput::new(&Recipe::uniform(6, 5, 30_000, seed)).map_err(text)?;
        let mut others = whole.clone();
        others.temperatures[1..].copy_from_slice(&[0.0, 2.0, 0.1, 0.0, f32::INFINITY]);
        others.seeds[1..].fill(99);
        let given = judge(gpu, &stream, &whole, &ACCEPT_ROWS[0], walk)?;
        let with_others = judge(gpu, &stream, &others, &ACCEPT_ROWS[0], walk)?;
        if first(&whole, &given) != first(&others, &with_others) {
            return Err(format!("{}, {seed}: other sequences make a difference", walk.id));
        }
    }
    Ok(())
}
