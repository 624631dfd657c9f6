use super::*;
use crate::accept::{
    compare::{Accepted, compare},
    synthetic::{AcceptInput, Plant, Recipe},
};

fn accept(backend: &mut CpuBackend, input: &AcceptInput) -> Accepted {
    let (problem, arrays) = (&input.problem, input.arrays());
    let mut given = Accepted::unwritten(problem, &arrays);
    let output = AcceptOutput {
        accepted: &mut given.accepted,
        emitted: &mut given.emitted,
        path: &mut given.path,
        last_rows: &mut given.last_rows,
        new_lengths: given.new_lengths.as_deref_mut(),
    };
    given.status = backend.accept(problem, &arrays, output).unwrap();
    given.step = arrays.step.wrapping_add(1);
    given
}

fn gives_the_reference(backend: &mut CpuBackend, input: &AcceptInput, what: &str) {
    let given = accept(backend, input);
    compare(&input.problem, &input.arrays(), &given).unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn random_steps_are_accepted_as_the_reference_does() {
    let mut backend = CpuBackend::new(2).unwrap();
    for seed in 0..1500 {
        let [vocabulary, rows] = if seed % 32 == 0 { [5000, 64] } else { [200, 12] };
        let input = AcceptInput::random(seed, vocabulary, rows).unwrap();
        gives_the_reference(&mut backend, &input, &format!("{seed}"));
    }
}

#[test]
fn every_planted_fault_is_reported_and_gives_what_it_should() {
    let mut backend = CpuBackend::new(1).unwrap();
    for plant in Plant::ALL {
        for seed in 0..60 {
            let mut input = AcceptInput::sound(seed, 60, 8).unwrap();
            if input.plant(plant, 0) {
                gives_the_reference(&mut backend, &input, &format!("{plant:?}, {seed}"));
            }
        }
    }
}

#[test]
fn a_vocabulary_of_a_model_is_walked_through() {
    let mut backend = CpuBackend::new(2).unwrap();
    for seed in 0..3 {
        let input = AcceptInput::new(&Recipe::uniform(2, 5, 152_064, seed)).unwrap();
        gives_the_reference(&mut backend, &input, &format!("{seed}"));
    }
}

#[test]
fn outputs_that_are_too_short_are_refused() {
    let input = AcceptInput::random(3, 20, 4).unwrap();
    let output = AcceptOutput {
        accepted: &mut [],
        emitted: &mut [],
        path: &mut [],
        last_rows: &mut [],
        new_lengths: None,
    };
    let error = CpuBackend::new(1).unwrap().accept(&input.problem, &input.arrays(), output);
    assert_eq!(error.unwrap_err().field, "accepted");
}
