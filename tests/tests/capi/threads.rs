//! Several threads at once.

use std::{ptr::null_mut, thread};

use dustin_tests::{
    capi::{Context, HostEngine, Verifier, run_step, run_step_of},
    verifier::{
        batch::Batch,
        world::{Recipe, World},
    },
};

#[test]
fn four_threads_at_once_get_what_one_gets_alone() {
    let (context, world) = (Context::cpu(2).unwrap(), World::new(&Recipe::usual(5)));
    let orders = [vec![0, 1, 2], vec![8, 7, 6], vec![3, 4, 5, 0], vec![2]];
    let alone = orders.clone().map(|order| run_step(&context, &world, &world.batch(&order)).unwrap().bits());
    let together = thread::scope(|scope| {
        let steps = orders.map(|order| {
            let (context, world) = (&context, &world);
            scope.spawn(move || run_step(context, world, &world.batch(&order)).unwrap().bits())
        });
        steps.map(|step| step.join().unwrap())
    });
    assert_eq!(alone, together);
}

#[test]
fn threads_that_share_a_verifier_and_its_caches_get_in_workspaces_of_their_own_what_each_gets_alone() {
    let context = Context::cpu(2).unwrap();
    for accepts in [false, true] {
        let world = World::new(&Recipe { accepts, ..Recipe::usual(6) });
        // Sequences of their own, whose rows nobody else appends.
        let batches = [&[0, 5][..], &[7, 2, 6], &[8, 1], &[3, 4]].map(|order| world.batch(order));
        let alone = batches
            .each_ref()
            .map(|batch| got(&world, batch, |world, batch| run_step(&context, world, batch)));
        let engine = HostEngine::new(&world);
        // SAFETY: the memory has the world's shapes, and lives as long as the verifier.
        let verifier = unsafe { Verifier::new(&context, &world.problem, engine.memory()) }.unwrap();
        let together = thread::scope(|scope| {
            let steps = batches.each_ref().map(|batch| {
                let (verifier, engine, world) = (&verifier, &engine, &world);
                scope.spawn(move || {
                    // SAFETY: a CPU has no streams.
                    let space = unsafe { verifier.workspace(null_mut()) }.unwrap();
                    got(world, batch, |world, batch| run_step_of(verifier, &space, engine, world, batch))
                })
            });
            steps.map(|step| step.join().unwrap())
        });
        assert_eq!(alone, together);
        let all = world.batch(&[0, 5, 7, 2, 6, 8, 1, 3, 4]);
        assert!(engine.caches() == world.compacted(&all), "every sequence's rows are where they belong");
    }
}

/// What the sequences of `batch` got of a step without a fault: maps, sets and outputs, and what was accepted.
fn got(
    world: &World,
    batch: &Batch,
    step: impl Fn(&World, &Batch) -> Result<dustin_tests::verifier::outcome::Outcome, String>,
) -> (Vec<Vec<u32>>, Vec<Vec<i32>>) {
    let outcome = step(world, batch).unwrap();
    assert_eq!(outcome.status, []);
    let sequences = (0..batch.order.len()).map(|index| outcome.of_sequence(world, batch, index)).collect();
    let settled =
        outcome.settled.map(|own| vec![own.accepted, own.emitted, own.path, own.last_rows, own.new_lengths]);
    (sequences, settled.unwrap_or_default())
}
