//! The verifier on the CPU back end: whole steps against the f64 references, bit for bit where that is due, and the ranks of
//! tensor parallelism.

mod accept;
mod needles;
mod ranks;
mod sequences;
mod steps;
mod threads;

use dustin_tests::verifier::{batch::Batch, cpu, outcome::Outcome, world::World};

/// A step of the sequences `order` on the CPU, judged.
fn judged(world: &World, order: &[usize]) -> (Batch, Outcome) {
    let batch = world.batch(order);
    let mut verifier = cpu::verifier(&world.problem, 2).expect("a valid problem");
    let outcome = cpu::run(&mut verifier, world, &batch).expect("a possible step");
    outcome.judge(world, &batch).unwrap_or_else(|error| panic!("{order:?}: {error}"));
    (batch, outcome)
}
