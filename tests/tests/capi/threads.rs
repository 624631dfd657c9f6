//! Several threads at once.

use std::thread;

use dustin_tests::{
    capi::{Context, run_step},
    verifier::world::{Recipe, World},
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
