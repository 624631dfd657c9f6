//! Who is chosen is right as it is timed, and faster in pairs.

use super::*;

#[test]
fn whoever_is_wrong_as_it_is_timed_is_rejected_and_the_next_best_takes_its_place() {
    let mut oracle = Oracle::new(&[50.0, 20.0, 40.0, 20.1]);
    oracle.wrong_as_timed = vec![1, 3];
    let outcome = run(&mut oracle);
    assert_eq!((outcome.chosen, outcome.time.median), (2, 40.0));
    assert_eq!(outcome.default_time.unwrap().median, 50.0);
    for wrong in [1, 3] {
        assert!(
            matches!(&outcome.statuses[wrong], Status::Rejected(reason) if reason.contains("as it is timed")),
            "{:?}",
            outcome.statuses
        );
    }
    assert_eq!(outcome.tied, [2]);
    // The default is confirmed once.
    assert_eq!(oracle.confirmed, [0, 1, 3, 2]);
}

#[test]
fn who_was_given_up_because_of_a_candidate_that_is_wrong_as_it_is_timed_comes_back() {
    // Beside a time of 10 the others are hopeless, however they compare with the default.
    let mut oracle = Oracle::new(&[50.0, 10.0, 40.0, 39.9, 40.1]);
    (oracle.wrong_as_timed, oracle.near) = (vec![1], Some(1));
    let outcome = run(&mut oracle);
    assert_eq!((outcome.chosen, outcome.time.median), (2, 40.0));
    assert_eq!(outcome.tied, [2, 3, 4], "{:?}", outcome.statuses);
}

#[test]
fn a_default_that_is_wrong_as_it_is_timed_is_none_and_nothing_wins_if_all_are() {
    let mut oracle = Oracle::new(&[50.0, 30.0]);
    oracle.wrong_as_timed = vec![0];
    let outcome = run(&mut oracle);
    assert_eq!((outcome.chosen, outcome.default_time), (1, None));
    let mut oracle = Oracle::new(&[50.0, 30.0]);
    oracle.wrong_as_timed = vec![0, 1];
    let error = oracle.search(&settings(), &mut Watcher::default()).unwrap_err();
    assert!(matches!(&error, SearchError::NoneServes { tried: 2, .. }), "{error}");
}

#[test]
fn where_others_choose_among_the_finalists_everyone_is_confirmed() {
    let mut oracle = Oracle::new(&[30.0, 30.1, 29.9, 300.0]);
    oracle.wrong_as_timed = vec![1];
    let settings = Settings { confirmed: Confirmed::Finalists, pairs: 0, ..settings() };
    let outcome = oracle.search(&settings, &mut Watcher::default()).unwrap();
    oracle.confirmed.sort_unstable();
    assert_eq!(oracle.confirmed, [0, 1, 2]);
    assert!(matches!(outcome.statuses[1], Status::Rejected(_)), "{:?}", outcome.statuses);
}

#[test]
fn the_run_off_repeats_a_pair_during_which_the_clock_departed() {
    let steady = 1 + 12 + 6;
    let mut oracle = Oracle::new(&[50.0, 30.0]);
    oracle.clocks_mhz = [vec![1980; steady], vec![1700], vec![1980]].concat();
    let outcome = run(&mut oracle);
    assert_eq!((outcome.chosen, outcome.discarded.len(), outcome.unsteady.len()), (1, 1, 0));
    assert!(outcome.discarded[0].contains("1700 MHz"), "{:?}", outcome.discarded);
    // Two turns of screening, twelve rounds, fifteen pairs and the one that did not count.
    assert_eq!(oracle.timed.iter().filter(|&&timed| timed == 1).count(), 2 + 12 + 15 + 1);
}

#[test]
fn pairs_that_count_although_the_clock_departed_are_told_and_widen_the_interval() {
    let interval = |clocks_mhz: Vec<u32>| {
        let mut oracle = Oracle::new(&[50.0, 30.0]);
        (oracle.noise, oracle.clocks_mhz) = (1.0, clocks_mhz);
        let outcome = run(&mut oracle);
        assert_eq!(outcome.chosen, 1);
        (outcome.time.high - outcome.time.low, outcome.discarded.len(), outcome.unsteady.len())
    };
    let (narrow, ..) = interval(vec![1980]);
    let (wide, discarded, unsteady) =
        interval([vec![1980; 13], (0..20).map(|n| 1500 + 300 * (n % 2)).collect()].concat());
    assert!(discarded == 5 && unsteady > 0, "{discarded} and {unsteady}");
    assert!(wide > 1.2 * narrow, "{wide} > {narrow}");
}

#[test]
fn who_fails_in_the_run_off_is_the_one_rejected() {
    // Two turns of screening, twelve of finals: the run-off begins with the fifteenth.
    for (worn, left) in [(0, 1), (1, 0)] {
        let mut oracle = Oracle::new(&[50.0, 30.0]);
        oracle.wears_out = Some((worn, 14));
        let outcome = run(&mut oracle);
        assert_eq!(outcome.chosen, left);
        assert_eq!(outcome.statuses[worn], Status::Rejected("it no longer launches".into()));
        assert!(matches!(outcome.statuses[left], Status::Finalist(_)), "{:?}", outcome.statuses);
        assert_eq!(outcome.default_time.is_some(), left == 0);
        assert_eq!(outcome.tied, [left]);
    }
}
