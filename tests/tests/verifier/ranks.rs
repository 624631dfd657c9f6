//! Tensor parallelism: each rank gathers its share of the target's map, the caller's collective sums the packed maps, and every
//! rank goes on from the sum.

use dustin::{
    cpu::CpuVerifier,
    verifier::{Gather, Served, Stage},
};
use dustin_tests::{
    ranks::SIZES,
    verifier::{
        cpu,
        outcome::{Outcome, references},
        world::{Recipe, TARGET, World},
    },
};

use super::judged;

/// A step of all ranks: what each gives, and what the whole gives from the sum of their maps.
fn ranks(world: &World, order: &[usize], tp_size: u32) -> (Vec<Outcome>, Outcome) {
    let shares: Vec<World> = (0..tp_size).map(|rank| world.share(tp_size, rank)).collect();
    let verifier = |world: &World| cpu::verifier(&world.problem, 1).expect("a valid share");
    let mut verifiers: Vec<_> = shares.iter().map(verifier).collect();
    let partial = |(verifier, share): (&mut CpuVerifier, &World)| {
        cpu::maps(verifier, share, &share.batch(order)).expect("a possible step")
    };
    let maps: Vec<[Vec<f32>; 2]> = verifiers.iter_mut().zip(&shares).map(partial).collect();
    // The collective: a sum in the order of the ranks, which each has then.
    let mut sum = vec![0.0; maps[0][0].len()];
    for [target, _] in &maps {
        sum.iter_mut().zip(target).for_each(|(sum, part)| *sum += part);
    }
    let bits = |map: &[f32]| map.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    // The draft stands whole on every rank.
    let draft = &maps[0][1];
    assert!(maps.iter().all(|[_, other]| bits(other) == bits(draft)));
    let from_sum = |verifier: &mut CpuVerifier, world: &World| {
        let maps = [sum.clone(), draft.clone()];
        cpu::from_maps(verifier, world, &world.batch(order), maps).expect("a possible step")
    };
    let outcomes = verifiers.iter_mut().zip(&shares).map(|(verifier, share)| from_sum(verifier, share));
    (outcomes.collect(), from_sum(&mut verifier(world), world))
}

#[test]
fn partial_maps_sum_up_to_the_whole_and_every_rank_gets_the_same_set_and_its_heads_outputs() {
    for recipe in [Recipe::usual(41), Recipe::all_asked(42)] {
        let world = World::new(&recipe);
        let order = [0, 1, 2, 3, 5, 7, 8];
        let (batch, alone) = judged(&world, &order);
        let [reference, _] = references(&world, &batch).unwrap();
        let (_, reference) = reference.expect("a target's map");
        for tp_size in SIZES {
            let (outcomes, whole) = ranks(&world, &order, tp_size);
            for (rank, outcome) in outcomes.iter().enumerate() {
                assert_eq!(outcome.status, [], "rank {rank} of {tp_size}");
                assert_eq!(outcome.selected, whole.selected, "rank {rank} of {tp_size}");
                require_slices(&whole, outcome, tp_size, rank);
            }
            for position in reference.parts.iter().flat_map(|part| part.clone()) {
                let (expected, sum) = (reference.map[position], f64::from(whole.target_map[position]));
                assert!((expected - sum).abs() <= 1e-5 * expected + 1e-9, "{position}: {expected}, {sum}");
            }
            // Scores that hardly differ may change places by the rounding of the sum.
            assert_eq!(whole.selected.set_sizes, alone.selected.set_sizes);
            for (index, &size) in alone.selected.set_sizes.iter().enumerate() {
                let set = |outcome: &Outcome| {
                    outcome.selected.set[index * 48..][..usize::try_from(size).unwrap_or(0)].to_vec()
                };
                let (expected, found) = (set(&alone), set(&whole));
                let lacking =
                    expected.iter().filter(|position| found.binary_search(position).is_err()).count();
                assert!(lacking <= 1, "sequence {index}: {lacking} of the whole's are missing");
            }
        }
    }
}

/// Checks that the rank's attention is that of its heads in the whole, bit for bit.
fn require_slices(whole: &Outcome, outcome: &Outcome, tp_size: u32, rank: usize) {
    let heads = (TARGET.query_heads / tp_size * TARGET.head_dim) as usize;
    for (whole, own) in [(&whole.full, &outcome.full), (&whole.sparse, &outcome.sparse)] {
        for (layer, (whole, own)) in whole.iter().zip(own).enumerate() {
            let slice = whole.output.chunks(heads).skip(rank).step_by(tp_size as usize).flatten();
            assert!(slice.eq(&own.output), "layer {layer} of rank {rank} of {tp_size}");
        }
    }
}

#[test]
fn a_rank_without_heads_adds_zeros() {
    let world = World::new(&Recipe::usual(43));
    // Heads 0, 1, 6 and 9 are those of ranks 0, 3 and 4.
    let share = world.share(8, 7);
    assert_eq!(share.stages.target_score, Gather::Zero);
    let mut verifier = cpu::verifier(&share.problem, 1).unwrap();
    let [map, _] = cpu::maps(&mut verifier, &share, &share.batch(&[0, 1])).unwrap();
    assert!(!map.is_empty() && map.iter().all(|&score| score == 0.0));
    assert!(matches!(verifier.report().served(Stage::TargetScore), Some(Served::Idle { .. })));
}
