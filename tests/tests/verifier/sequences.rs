//! Sequences join, leave and change places, and their captured queries with their slots.

use dustin_tests::verifier::{
    cpu,
    world::{Recipe, World},
};

use super::judged;

#[test]
fn a_sequence_gets_the_same_bits_whoever_else_is_in_the_batch_and_in_what_order() {
    for recipe in [Recipe::usual(11), Recipe::all_asked(12)] {
        let world = World::new(&recipe);
        let (whole, outcome) = judged(&world, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
        for order in [&[7, 0][..], &[8, 2, 0, 5, 1], &[3], &[6, 7, 4]] {
            let (batch, other) = judged(&world, order);
            for (index, &sequence) in order.iter().enumerate() {
                assert!(
                    other.of_sequence(&world, &batch, index) == outcome.of_sequence(&world, &whole, sequence),
                    "sequence {sequence} of {order:?}"
                );
            }
        }
    }
}

#[test]
fn a_captured_query_serves_from_the_slot_that_it_was_put_into() {
    let mut world = World::new(&Recipe::usual(13));
    let (first, before) = judged(&world, &[0, 7]);
    // Sequence 0 was preempted and its query captured anew, into a slot that nobody has.
    let captured = world.stages.target_captured.clone();
    let (stride, free) = (captured.slot_stride() as usize, captured.slots as usize - 1);
    let old = world.sequences[0].slot as usize;
    let query = world.target_queries[old * stride..][..stride].to_vec();
    world.target_queries[free * stride..][..stride].copy_from_slice(&query);
    world.target_queries[old * stride..][..stride].fill(dustin_tests::verifier::world::NAN);
    world.sequences[0].slot = free as i32;
    let (batch, after) = judged(&world, &[7, 0]);
    for (index, sequence) in [(1, 0), (0, 1)] {
        assert!(after.of_sequence(&world, &batch, index) == before.of_sequence(&world, &first, sequence));
    }
    // In its first step behind the prompt it has none yet, and all of its tokens are read.
    world.sequences[0].slot = -1;
    let (_, without) = judged(&world, &[0, 7]);
    assert_eq!(without.selected.set_sizes[0], dustin_kernels::attention::params::EVERYTHING);
    assert!(without.target_map[..700].iter().all(|&score| score == 0.0));
}

#[test]
fn one_verifier_serves_batch_after_batch() {
    let world = World::new(&Recipe::usual(14));
    let mut verifier = cpu::verifier(&world.problem, 2).unwrap();
    for order in [&[0, 1, 2][..], &[7], &[5, 8, 3, 6], &[0, 1, 2]] {
        let batch = world.batch(order);
        let outcome = cpu::run(&mut verifier, &world, &batch).unwrap();
        assert!(outcome.bits() == judged(&world, order).1.bits(), "{order:?}");
    }
}
