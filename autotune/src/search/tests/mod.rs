//! The search against an oracle that knows every candidate's time.

mod confirmed;
mod oracle;

use std::time::Duration;

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use self::oracle::{Oracle, Watcher};
use super::*;

fn settings() -> Settings {
    Settings {
        budget: None,
        screening: 3,
        prune: 3.0,
        entrants: 8,
        finalists: 4,
        reach: 1.15,
        band: 0.02,
        rounds: 12,
        repetitions: 3,
        pairs: 15,
        confirmed: Confirmed::Choice,
    }
}

fn run(oracle: &mut Oracle) -> Outcome {
    oracle.search(&settings(), &mut Watcher::default()).unwrap()
}

#[test]
fn the_fastest_candidate_replaces_a_slower_default() {
    let outcome = run(&mut Oracle::new(&[50.0, 40.0, 30.0, 60.0]));
    assert_eq!((outcome.chosen, outcome.time.median), (2, 30.0));
    assert_eq!(outcome.default_time.unwrap().median, 50.0);
    assert_eq!(outcome.ending, Ending::Complete);
    assert_eq!(outcome.tied, [2]);
}

#[test]
fn the_default_wins_ties() {
    let outcome = run(&mut Oracle::new(&[30.4, 30.0, 30.1]));
    assert_eq!(outcome.chosen, 0);
    assert_eq!(outcome.tied, [0, 1, 2]);
    assert_eq!(outcome.time, outcome.default_time.unwrap());
}

#[test]
fn among_tied_candidates_the_fewest_resources_win() {
    let outcome = run(&mut Oracle::new(&[50.0, 30.3, 30.0]));
    assert_eq!(outcome.chosen, 1);
    assert_eq!(outcome.tied, [1, 2]);
}

#[test]
fn a_wrong_candidate_is_recorded_and_never_timed() {
    let mut oracle = Oracle::new(&[50.0, 1.0, 40.0]);
    oracle.wrong = vec![1];
    let outcome = run(&mut oracle);
    assert_eq!(outcome.chosen, 2);
    assert_eq!(outcome.statuses[1], Status::Rejected("output differs from the reference at row 3".into()));
    assert!(!oracle.timed.contains(&1));
}

#[test]
fn a_candidate_that_cannot_launch_does_not_end_the_search() {
    let mut oracle = Oracle::new(&[50.0, 1.0, 40.0]);
    oracle.broken = vec![1];
    let outcome = run(&mut oracle);
    assert_eq!(outcome.chosen, 2);
    assert!(matches!(&outcome.statuses[1], Status::Rejected(reason) if reason.contains("resources")));
}

#[test]
fn a_time_that_is_no_number_is_a_rejection() {
    let outcome = run(&mut Oracle::new(&[50.0, f64::NAN, -3.0]));
    assert_eq!(outcome.chosen, 0);
    assert!(outcome.statuses[1..].iter().all(|status| matches!(status, Status::Rejected(_))));
}

#[test]
fn without_a_valid_default_the_fastest_other_wins() {
    let mut oracle = Oracle::new(&[5.0, 40.0, 30.0]);
    oracle.wrong = vec![0];
    let outcome = run(&mut oracle);
    assert_eq!((outcome.chosen, outcome.default_time), (2, None));
}

#[test]
fn without_any_valid_candidate_the_reason_is_told() {
    let mut oracle = Oracle::new(&[5.0, 4.0]);
    oracle.wrong = vec![0, 1];
    let error = oracle.search(&settings(), &mut Watcher::default()).unwrap_err();
    assert!(matches!(&error, SearchError::NoneServes { tried: 2, .. }), "{error}");
    assert!(error.to_string().contains("row 3"), "{error}");
}

#[test]
fn a_lost_device_ends_the_search() {
    let mut oracle = Oracle::new(&[50.0, 40.0, 30.0]);
    oracle.lost_after = Some(4);
    let error = oracle.search(&settings(), &mut Watcher::default()).unwrap_err();
    assert!(matches!(error, SearchError::Device(_)), "{error}");
}

#[test]
fn a_candidate_whose_check_took_too_long_is_not_timed_and_what_the_start_may_explain_is() {
    let mut oracle = Oracle::new(&[500.0, 10_000.0, 520.0]);
    oracle.start_us = Some(190.0);
    let outcome = run(&mut oracle);
    assert_eq!(outcome.statuses[1], Status::Pruned(10_190.0));
    assert!(oracle.checked.contains(&1) && !oracle.timed.contains(&1));
    let mut oracle = Oracle::new(&[20.0, 10.0, 15.0]);
    oracle.start_us = Some(190.0);
    assert_eq!(run(&mut oracle).chosen, 1);
}

#[test]
fn hopeless_candidates_are_not_repeated() {
    let mut oracle = Oracle::new(&[50.0, 5_000.0]);
    let outcome = run(&mut oracle);
    assert_eq!(outcome.statuses[1], Status::Pruned(5_000.0));
    assert_eq!(oracle.timed.iter().filter(|&&timed| timed == 1).count(), 1);
}

#[test]
fn a_flattered_candidate_is_found_out_before_it_replaces_the_default() {
    // It screens at 30 µs but takes 60 once its rounds begin.
    let mut oracle = Oracle::new(&[50.0, 30.0]);
    oracle.flattery[1] = 30.0;
    let outcome = run(&mut oracle);
    assert_eq!(outcome.chosen, 0);
}

#[test]
fn noise_never_replaces_the_default_by_an_equal() {
    for seed in 0..50 {
        let mut oracle = Oracle::new(&[30.0; 40]);
        (oracle.noise, oracle.rng) = (2.0, Pcg64Mcg::seed_from_u64(seed));
        let outcome = run(&mut oracle);
        let (time, default) = (outcome.time.median, outcome.default_time.unwrap().median);
        assert!(
            outcome.chosen == 0 || default > time,
            "seed {seed}: {} at {time} > {default}",
            outcome.chosen
        );
        assert!((time - 30.0).abs() < 2.0, "seed {seed}: {time}");
    }
}

#[test]
fn a_real_gain_is_found_through_noise() {
    for seed in 0..50 {
        let mut times = [30.0; 40];
        times[17] = 24.0;
        let mut oracle = Oracle::new(&times);
        (oracle.noise, oracle.rng) = (2.0, Pcg64Mcg::seed_from_u64(seed));
        let outcome = run(&mut oracle);
        assert_eq!(outcome.chosen, 17, "seed {seed}");
        assert!(outcome.time.low <= 24.5 && outcome.time.high >= 23.5, "seed {seed}: {:?}", outcome.time);
    }
}

#[test]
fn an_exhausted_budget_keeps_the_best_so_far() {
    let mut times = vec![40.0; 100];
    times[0] = 50.0;
    let mut oracle = Oracle::new(&times);
    let settings = Settings { budget: Some(Duration::from_micros(1_000)), ..settings() };
    let outcome = oracle.search(&settings, &mut Watcher::default()).unwrap();
    assert_eq!(outcome.ending, Ending::Budget);
    assert_ne!(outcome.chosen, 0);
    assert!(outcome.statuses.iter().filter(|status| **status == Status::Untried).count() > 80);
}

#[test]
fn an_interruption_keeps_the_best_so_far() {
    let mut oracle = Oracle::new(&[50.0, 40.0, 40.0, 40.0, 40.0]);
    let mut watcher = Watcher { interrupt_at: Some((Stage::Screening, 2)), ..Watcher::default() };
    let outcome = oracle.search(&settings(), &mut watcher).unwrap();
    assert_eq!(outcome.ending, Ending::Interrupted);
    assert_ne!(outcome.chosen, 0);
    assert_eq!(outcome.statuses.iter().filter(|status| **status == Status::Untried).count(), 3);
}

#[test]
fn the_order_follows_the_seed_and_starts_with_the_default() {
    let order = |seed| {
        let mut oracle = Oracle::new(&[30.0; 30]);
        oracle.seed = seed;
        run(&mut oracle);
        oracle.checked
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    assert_eq!((order(1)[0], order(2)[0]), (0, 0));
}

#[test]
fn a_surrogate_finds_the_fastest_in_a_fraction_of_the_trials() {
    let times: Vec<f64> = (0..200).map(|index| 20.0 + (f64::from(index) - 137.0).abs()).collect();
    for seed in 0..10 {
        let mut oracle = Oracle::new(&times);
        (oracle.method, oracle.seed, oracle.trials, oracle.noise) =
            (MethodKind::Surrogate, seed, Some(40), 0.2);
        let outcome = run(&mut oracle);
        assert_eq!(outcome.chosen, 137, "seed {seed}");
        let untried = outcome.statuses.iter().filter(|status| **status == Status::Untried).count();
        assert_eq!((untried, outcome.ending), (160, Ending::Complete));
    }
}

#[test]
fn the_choice_of_a_near_problem_is_tried_right_after_the_default() {
    let mut oracle = Oracle::new(&[30.0; 30]);
    (oracle.near, oracle.trials) = (Some(17), Some(2));
    run(&mut oracle);
    assert_eq!(oracle.checked, [0, 17]);
}
