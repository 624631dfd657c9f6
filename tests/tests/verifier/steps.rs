//! Whole steps.

use dustin::select::problem::Fallback;
use dustin::verifier::{Rules, Stage};
use dustin_kernels::{attention::params::EVERYTHING, fault::Fault};
use dustin_tests::verifier::{
    cpu,
    world::{Recipe, World},
};

use super::judged;

#[test]
fn a_step_is_what_the_references_say_around_the_budget_and_the_threshold() {
    let world = World::new(&Recipe::usual(1));
    let order: Vec<usize> = (0..9).collect();
    let (_, outcome) = judged(&world, &order);
    // 700, 100, 101, 47, 48, 49, 0, 333 tokens, and 450 without a captured query; nothing behind them.
    let all = EVERYTHING;
    assert_eq!(outcome.selected.set_sizes, [48, all, 48, all, all, all, 0, 48, all, 0]);
}

#[test]
fn a_step_with_all_that_can_be_asked_is_what_the_references_say() {
    let world = World::new(&Recipe::all_asked(2));
    let (_, outcome) = judged(&world, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(outcome.selected.physical.is_some() && outcome.sparse[0].lse.is_some());
}

#[test]
fn sets_come_from_one_map_or_none_where_the_rules_say_so() {
    let maps = |change: fn(&mut Rules)| {
        let mut recipe = Recipe::usual(3);
        change(&mut recipe.rules);
        recipe.rules.everything = 0;
        let (_, outcome) = judged(&World::new(&recipe), &[0, 4, 5, 8]);
        assert_eq!(outcome.selected.set_sizes[..3], [48, 48, 48]);
        (!outcome.target_map.is_empty(), !outcome.draft_map.is_empty(), outcome.selected.set_sizes[3])
    };
    assert_eq!(maps(|rules| rules.m = 0), (true, false, EVERYTHING));
    assert_eq!(maps(|rules| rules.m = 48), (false, true, 48));
    assert_eq!(maps(|rules| (rules.sinks, rules.recent) = (8, 40)), (false, false, 48));
    assert_eq!(maps(|rules| (rules.pooling, rules.block) = (5, 1)), (true, true, EVERYTHING));
    assert_eq!(maps(|rules| rules.without_target = Fallback::Draft), (true, true, 48));
}

#[test]
fn faults_are_reported_by_stage_until_they_are_cleared() {
    let world = World::new(&Recipe::usual(4));
    let mut batch = world.batch(&[0, 7]);
    let mut verifier = cpu::verifier(&world.problem, 1).unwrap();
    batch.slots[1] = 1000;
    batch.block_table[0] = -7;
    cpu::run(&mut verifier, &world, &batch).unwrap();
    let status = verifier.status();
    assert!(status.contains(&(Stage::TargetScore, Fault::Slot, 1)), "{status:?}");
    assert!(status.contains(&(Stage::Selection, Fault::Slot, 1)), "{status:?}");
    assert!(status.contains(&(Stage::FullAttention, Fault::Page, 0)), "{status:?}");
    assert!(!status.iter().any(|(stage, ..)| *stage == Stage::DraftScore), "{status:?}");
    verifier.clear_status();
    assert_eq!(verifier.status(), []);
}

#[test]
fn a_stage_that_nothing_depends_on_is_refused() {
    let mut recipe = Recipe::usual(5);
    recipe.rules.m = 0;
    let world = World::new(&recipe);
    let (batch, mut verifier) = (world.batch(&[0]), cpu::verifier(&world.problem, 1).unwrap());
    let error = verifier.score_draft(&cpu::step(&world, &batch), &[], &[], &mut []).unwrap_err();
    assert_eq!(error.field, "stage");
    assert!(error.to_string().contains("draft score, which no set depends on"), "{error}");
}
