//! Whole steps of the verifier.

use dustin_tests::{
    capi::{Context, run_step},
    verifier::{
        cpu,
        world::{Recipe, World},
    },
};

#[test]
fn whole_steps_are_those_of_the_library() {
    let context = Context::cpu(2).unwrap();
    let accepting = |recipe| Recipe { accepts: true, ..recipe };
    for recipe in
        [Recipe::usual(1), Recipe::all_asked(2), accepting(Recipe::usual(3)), accepting(Recipe::all_asked(4))]
    {
        let world = World::new(&recipe);
        let mut verifier = cpu::verifier(&world.problem, 2).unwrap();
        for order in [vec![0, 1, 2, 3, 4, 5, 6, 7, 8], vec![8, 3, 0], vec![]] {
            let batch = world.batch(&order);
            let expected = cpu::run(&mut verifier, &world, &batch).unwrap();
            let found = run_step(&context, &world, &batch).unwrap();
            assert_eq!(found.bits(), expected.bits(), "{order:?}");
            assert_eq!(found.selected, expected.selected, "{order:?}");
            assert_eq!(found.settled.is_some(), recipe.accepts, "{order:?}");
            assert_eq!(batch.forwards.len(), 2 * 4, "{order:?}: two layers, four forwards");
            assert_eq!(found.status, expected.status, "{order:?}");
        }
    }
}

#[test]
fn what_a_stage_finds_wrong_is_reported_with_the_stage() {
    let (context, world) = (Context::cpu(1).unwrap(), World::new(&Recipe::usual(3)));
    let mut batch = world.batch(&[0, 3]);
    batch.block_table[0] = -1;
    let expected = cpu::run(&mut cpu::verifier(&world.problem, 1).unwrap(), &world, &batch).unwrap();
    let found = run_step(&context, &world, &batch).unwrap();
    assert!(!found.status.is_empty());
    assert_eq!(found.status, expected.status);
}
