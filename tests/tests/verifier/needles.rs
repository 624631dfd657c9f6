//! What is attended to most is chosen, and the maps say how much attention that is.

use dustin_tests::verifier::{
    outcome::references,
    world::{Recipe, World},
};

use super::judged;

#[test]
fn planted_needles_are_all_selected() {
    for seed in 0..4 {
        let mut world = World::new(&Recipe { uncaptured: vec![], ..Recipe::usual(20 + seed) });
        let order = [0, 2, 7, 8];
        let needles = order.map(|sequence| world.plant(sequence, 4, seed));
        let (_, outcome) = judged(&world, &order);
        for (index, needles) in needles.iter().enumerate() {
            assert_eq!((needles.target.len(), needles.draft.len()), (20, 12));
            let set = &outcome.selected.set[index * 48..][..48];
            for position in needles.target.iter().chain(&needles.draft) {
                assert!(set.binary_search(position).is_ok(), "seed {seed}, {index}: {position} of {set:?}");
            }
        }
    }
}

#[test]
fn the_maps_sum_over_a_set_is_the_attention_that_the_scoring_heads_pay_to_it() {
    for seed in 0..4 {
        let world = World::new(&Recipe::usual(30 + seed));
        let (batch, outcome) = judged(&world, &[0, 2, 7]);
        let references = references(&world, &batch).unwrap();
        let maps = [&outcome.target_map, &outcome.draft_map];
        for ((reference, map), index) in
            references.iter().zip(maps).flat_map(|pair| (0..3).map(move |index| (pair, index)))
        {
            let (_, reference) = reference.as_ref().expect("a map");
            let start = batch.map_starts[index] as usize;
            let set = &outcome.selected.set[index * 48..][..48];
            let at = |&position: &i32| start + position as usize;
            let mass: f64 = set.iter().map(|position| reference.map[at(position)]).sum();
            let sum: f64 = set.iter().map(|position| f64::from(map[at(position)])).sum();
            assert!(mass > 0.05, "{mass}");
            assert!((mass - sum).abs() <= 1e-4, "seed {seed}, sequence {index}: {mass} and {sum}");
        }
    }
}
