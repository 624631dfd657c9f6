use std::collections::BTreeSet;

use dustin_kernels::fault::Fault;

use super::*;

#[test]
fn the_same_seed_gives_the_same_input_and_another_seed_another() {
    let input = |seed| AcceptInput::new(&Recipe::uniform(3, 4, 50, seed)).unwrap();
    let (first, again, other) = (input(1), input(1), input(2));
    assert_eq!((&first.target, &first.tokens), (&again.target, &again.tokens));
    assert_ne!(first.target, other.target);
}

#[test]
fn sound_inputs_are_without_a_fault() {
    for seed in 0..400 {
        let input = AcceptInput::sound(seed, 100, 9).unwrap();
        assert_eq!(input.reference().unwrap().status, 0, "{seed}");
    }
}

#[test]
fn random_inputs_meet_every_fault_and_walk_from_no_draft_to_all() {
    let mut seen = BTreeSet::new();
    for seed in 0..2000 {
        let input = AcceptInput::random(seed, 60, 9).unwrap();
        let reference = input.reference().unwrap();
        seen.insert(format!("fault {:?}", Fault::parse(reference.status).map(|(fault, _)| fault)));
        let AcceptProblem { tree, draft, .. } = input.problem;
        seen.insert(format!("tree {tree}, {:?}", draft.map(|draft| draft.without_replacement)));
        for (walk, &temperature) in reference.walks.iter().zip(&input.temperatures) {
            seen.insert(format!("greedy {}, drafts {}", temperature == 0.0, walk.path.len().min(6)));
        }
    }
    assert_eq!(seen.len(), 7 + 2 * 3 + 2 * 7, "{seen:#?}");
}

#[test]
fn every_planted_fault_is_reported() {
    for plant in Plant::ALL {
        let mut planted = 0;
        for seed in 0..100 {
            let mut input = AcceptInput::sound(seed, 30, 6).unwrap();
            let is_planted = input.plant(plant, 0);
            let fault = Fault::parse(input.reference().unwrap().status).map(|(fault, _)| fault);
            assert_eq!(fault.is_some(), is_planted, "{plant:?} {seed}");
            planted += usize::from(is_planted);
            assert!(!input.plant(plant, 9));
        }
        assert!(planted >= 10, "{plant:?}: {planted}");
    }
}
