//! The kernels of acceptance on the SIMT executor, against the f64 reference with the same random numbers.

use dustin::accept::{
    compare::{Accepted, compare},
    synthetic::{AcceptInput, Plant, Recipe},
};
use dustin_kernels::registry::{ACCEPT_WALK, AcceptWalkVariant};
use dustin_tests::executor_accept::accept;
use rayon::prelude::*;

/// Random inputs.
const INPUTS: usize = 240;

fn gives_the_reference(walk: &'static AcceptWalkVariant, input: &AcceptInput, what: &str) -> Accepted {
    let given = accept(input, walk).unwrap_or_else(|error| panic!("{what}, {}: {error}", walk.id));
    if let Err(error) = compare(&input.problem, &input.arrays(), &given) {
        panic!("{what}, {}: {error}\n{:#?}", walk.id, input.problem);
    }
    given
}

/// Chains and trees, greedy and sampled sequences in one batch, all item types, logits and probabilities, drafts with and without
/// replacement and certain ones, vocabularies of a few tokens to thousands, gaps, poison, and, in one of four, a planted fault.
#[test]
fn random_steps_are_accepted_as_the_reference_does() {
    (0..INPUTS).into_par_iter().for_each(|index| {
        let [vocabulary, rows] = if index % 8 == 0 { [3000, 64] } else { [200, 9] };
        let input = AcceptInput::random(index as u64, vocabulary, rows).expect("a valid input");
        gives_the_reference(&ACCEPT_WALK[index % ACCEPT_WALK.len()], &input, &format!("input {index}"));
    });
}

/// Rows of several chunks, of which the last is not whole.
#[test]
fn rows_of_many_chunks_are_merged() {
    for (seed, vocabulary) in [(1, 8191), (2, 8192), (3, 8193), (4, 20_003), (5, 16_388)] {
        let recipe = Recipe { spare: 1, padding: 1, ..Recipe::uniform(2, 3, vocabulary, seed) };
        let input = AcceptInput::new(&recipe).expect("a valid recipe");
        ACCEPT_WALK.par_iter().for_each(|walk| _ = gives_the_reference(walk, &input, "chunks"));
    }
}

#[test]
fn every_planted_fault_is_reported_and_gives_what_it_should() {
    let seeds = 0..24_u64;
    let cases: Vec<_> =
        Plant::ALL.into_iter().flat_map(|plant| seeds.clone().map(move |s| (plant, s))).collect();
    let planted: Vec<Plant> = cases
        .into_par_iter()
        .filter_map(|(plant, seed)| {
            let mut input = AcceptInput::sound(seed, 60, 8).expect("a valid input");
            if !input.plant(plant, 0) {
                return None;
            }
            let walk = &ACCEPT_WALK[seed as usize % ACCEPT_WALK.len()];
            let given = gives_the_reference(walk, &input, &format!("{plant:?}, {seed}"));
            assert_ne!(given.status, 0, "{plant:?}, {seed}");
            Some(plant)
        })
        .collect();
    for plant in Plant::ALL {
        assert!(planted.contains(&plant), "{plant:?} is never planted");
    }
}

/// Who shares a sequence, and what else is in the batch, makes no difference: races and walks are those of the sequence alone.
#[test]
fn a_sequence_gives_the_same_whoever_looks_at_it_and_whatever_else_there_is() {
    (0..24_u64).into_par_iter().for_each(|seed| {
        let recipe = Recipe::random(seed, 300, 6);
        let input = AcceptInput::new(&recipe).expect("a valid recipe");
        let given: Vec<Accepted> =
            ACCEPT_WALK.iter().map(|walk| gives_the_reference(walk, &input, "whole")).collect();
        // The batch in which all others are greedy: sampled sequences' draws are their own.
        let mut other = input.clone();
        other.temperatures.iter_mut().skip(1).for_each(|temperature| *temperature = 0.0);
        for (walk, given) in ACCEPT_WALK.iter().zip(&given) {
            let other = gives_the_reference(walk, &other, "others greedy");
            let rows = input.problem.rows as usize;
            assert_eq!(other.emitted[..rows], given.emitted[..rows], "{seed}");
            assert_eq!(other.path[..rows], given.path[..rows], "{seed}");
        }
    });
}

/// Each launch of the first kernel is a step: the second one draws anew.
#[test]
fn another_step_draws_other_tokens() {
    let recipe = Recipe::uniform(4, 1, 500, 3);
    let mut input = AcceptInput::new(&recipe).expect("a valid recipe");
    let mut seen = std::collections::BTreeSet::new();
    for step in [7, 8, u64::MAX] {
        input.step = step;
        seen.insert(gives_the_reference(&ACCEPT_WALK[0], &input, "step").emitted);
    }
    assert_eq!(seen.len(), 3);
}
