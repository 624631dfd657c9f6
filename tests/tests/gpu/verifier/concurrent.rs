//! Several streams and threads at once, one verifier.

use dustin::cuda::{CudaError, SideStream, Stream};
use dustin_tests::{
    gpu::{Gpu, text, trial},
    verifier::{
        cuda::{Engine, Step},
        world::{Recipe, World},
    },
};
use libtest_mimic::Trial;

use super::{engine, stream};

/// The batches of those that run at once: sequences of their own, whose rows nobody else appends.
const ORDERS: [&[usize]; 4] = [&[0, 5], &[7, 2, 6], &[8, 1], &[3, 4]];

/// Steps of each.
const REPEATS: usize = 20;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("a_verifiers_steps_on_two_streams_at_once_are_what_each_is_alone", two_streams),
        trial("a_verifiers_steps_of_four_threads_at_once_are_what_each_is_alone", four_threads),
    ]
}

/// What the sequences of `ORDERS[which]` got of a step.
fn got(
    engine: &Engine,
    world: &World,
    stream: &Stream,
    step: &Step,
    which: usize,
) -> Result<Vec<Vec<u32>>, String> {
    let outcome = engine.outcome(stream, step, Vec::new()).map_err(text)?;
    if !outcome.status.is_empty() {
        return Err(format!("{:?} reported {:?}", ORDERS[which], outcome.status));
    }
    let batch = world.batch(ORDERS[which]);
    Ok((0..ORDERS[which].len()).map(|index| outcome.of_sequence(world, &batch, index)).collect())
}

fn submit(engine: &Engine, stream: &Stream, side: &mut SideStream, step: &Step) -> Result<(), CudaError> {
    engine.choose(stream, Some(side), step)?;
    engine.layers(stream, step)
}

/// What each of the first `count` batches gets alone.
fn alone(gpu: &Gpu, world: &World, count: usize) -> Result<Vec<Vec<Vec<u32>>>, String> {
    let (engine, stream) = (engine(gpu, world)?, stream(gpu)?);
    let mut side = SideStream::new(&gpu.context).map_err(text)?;
    (0..count)
        .map(|which| {
            let step = engine.step(&stream, &world.batch(ORDERS[which])).map_err(text)?;
            submit(&engine, &stream, &mut side, &step).map_err(text)?;
            got(&engine, world, &stream, &step, which)
        })
        .collect()
}

fn two_streams(gpu: &'static Gpu) -> Result<(), String> {
    let world = World::new(&Recipe::usual(91));
    let alone = alone(gpu, &world, 2)?;
    let engine = engine(gpu, &world)?;
    let mut runs = Vec::new();
    for order in &ORDERS[..2] {
        let stream = stream(gpu)?;
        let side = SideStream::new(&gpu.context).map_err(text)?;
        let step = engine.step(&stream, &world.batch(order)).map_err(text)?;
        runs.push((stream, side, step));
    }
    for _ in 0..REPEATS {
        for (stream, side, step) in &mut runs {
            submit(&engine, stream, side, step).map_err(text)?;
        }
    }
    for (which, (stream, _, step)) in runs.iter().enumerate() {
        if got(&engine, &world, stream, step, which)? != alone[which] {
            return Err(format!("stream {which} got something else than alone"));
        }
    }
    Ok(())
}

fn four_threads(gpu: &'static Gpu) -> Result<(), String> {
    let world = World::new(&Recipe::usual(92));
    let alone = alone(gpu, &world, ORDERS.len())?;
    let engine = engine(gpu, &world)?;
    let run = |which: usize| {
        let stream = stream(gpu)?;
        let mut side = SideStream::new(&gpu.context).map_err(text)?;
        let step = engine.step(&stream, &world.batch(ORDERS[which])).map_err(text)?;
        for _ in 0..REPEATS {
            submit(&engine, &stream, &mut side, &step).map_err(text)?;
        }
        match got(&engine, &world, &stream, &step, which)? == alone[which] {
            true => Ok(()),
            false => Err(format!("thread {which} got something else than alone")),
        }
    };
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..ORDERS.len()).map(|which| scope.spawn(move || run(which))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".to_string())?)
    })?;
    // Every sequence's rows are where they belong, whoever else was appending.
    let all: Vec<usize> = (0..9).collect();
    let caches = engine.caches(&stream(gpu)?).map_err(text)?;
    if caches != world.appended(&world.batch(&all)) {
        return Err("rows are missing in the caches".into());
    }
    Ok(())
}
