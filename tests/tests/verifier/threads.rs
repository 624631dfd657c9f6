//! Verifiers of several threads at once.

use dustin_tests::verifier::{
    cpu,
    world::{Recipe, World},
};

#[test]
fn four_threads_at_once_get_what_each_gets_alone() {
    let worlds: Vec<World> = (0..4).map(|seed| World::new(&Recipe::usual(50 + seed))).collect();
    let step = |world: &World| {
        let mut verifier = cpu::verifier(&world.problem, 2).unwrap();
        cpu::run(&mut verifier, world, &world.batch(&[0, 2, 5, 7, 8])).unwrap().bits()
    };
    let alone: Vec<_> = worlds.iter().map(step).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = worlds.iter().map(|world| scope.spawn(|| step(world))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(alone == together);
}
