//! Tensor parallelism: each rank gathers its share of the target's map, the caller's collective sums the packed maps, and every
//! rank goes on from the sum.

use dustin::verifier::{Gather, Served, Stage};
use dustin_tests::{
    ranks::SIZES,
    verifier::{
        cpu,
        outcome::{Outcome, references},
        world::{Recipe, TARGET, World},
    },
};

use super::judged;

/// A step of all ranks: what each gives.
fn ranks(world: &World, order: &[usize], tp_size: u32) -> Vec<Outcome> {
    let shares: Vec<World> = (0..tp_size).map(|rank| world.share(tp_size, rank)).collect();
    let batch = |share: &World| share.batch(order);
    let mut verifiers: Vec<_> =
        shares.iter().map(|share| cpu::verifier(&share.problem, 1).expect("a valid share")).collect();
    let maps: Vec<_> = verifiers
        .iter_mut()
        .zip(&shares)
        .map(|(verifier, share)| cpu::maps(verifier, share, &batch(share)).expect("a possible step"))
        .collect();
    // The collective: a sum in the order of the ranks, which each has then.
    let mut sum = vec![0.0; maps[0][0].len()];
    for [target, _] in &maps {
        sum.iter_mut().zip(target).for_each(|(sum, part)| *sum += part);
    }
    let draft = maps[0][1].clone();
    assert!(
        maps.iter().all(|[_, other]| other.iter().map(|x| x.to_bits()).eq(draft.iter().map(|x| x.to_bits())))
    );
    verifiers
        .iter_mut()
        .zip(&shares)
        .zip(maps)
        .map(|((verifier, share), [_, draft])| {
            cpu::from_maps(verifier, share, &batch(share), [sum.clone(), draft]).expect("a possible step")
        })
        .collect()
}

#[test]
fn partial_maps_sum_up_to_the_whole_and_every_rank_gets_the_same_set_and_its_heads_outputs() {
    for recipe in [Recipe::usual(41), Recipe::all_asked(42)] {
        let world = World::new(&recipe);
        let order = [0, 1, 2, 3, 5, 7, 8];
        let (batch, whole) = judged(&world, &order);
        let [reference, _] = references(&world, &batch).unwrap();
        let (_, reference) = reference.expect("a target's map");
        for tp_size in SIZES {
            let outcomes = ranks(&world, &order, tp_size);
            for (rank, outcome) in outcomes.iter().enumerate() {
                assert_eq!(outcome.status, [], "rank {rank} of {tp_size}");
                assert_eq!(outcome.selected, outcomes[0].selected, "rank {rank} of {tp_size}");
                require_slices(&whole, outcome, tp_size, rank);
            }
            for part in &reference.parts {
                for position in part.clone() {
                    let (expected, sum) =
                        (reference.map[position], f64::from(outcomes[0].target_map[position]));
                    assert!(
                        (expected - sum).abs() <= 1e-5 * expected + 1e-9,
                        "{position}: {expected}, {sum}"
                    );
                }
            }
            // Scores that hardly differ may change places by the rounding of the sum.
            for (index, &size) in whole.selected.set_sizes.iter().enumerate() {
                assert_eq!(size, outcomes[0].selected.set_sizes[index]);
                let set = |outcome: &Outcome| {
                    outcome.selected.set[index * 48..][..usize::try_from(size).unwrap_or(0)].to_vec()
                };
                let (expected, found) = (set(&whole), set(&outcomes[0]));
                let lacking =
                    expected.iter().filter(|position| found.binary_search(position).is_err()).count();
                assert!(lacking <= 1, "sequence {index}: {lacking} of the whole's are missing");
            }
        }
    }
}

/// Checks that the rank's attention is that of its heads in the whole: over all tokens, and over the sets where these are the same.
fn require_slices(whole: &Outcome, outcome: &Outcome, tp_size: u32, rank: usize) {
    let heads = (TARGET.query_heads / tp_size * TARGET.head_dim) as usize;
    let same_sets = whole.selected == outcome.selected;
    let kinds = [(&whole.full, &outcome.full), (&whole.sparse, &outcome.sparse)];
    for (whole, own) in kinds.into_iter().take(if same_sets { 2 } else { 1 }) {
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
