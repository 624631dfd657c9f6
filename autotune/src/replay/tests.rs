//! Recorded spaces made up for the purpose, and the real ones where they are at hand.

use std::{collections::BTreeMap, io::Write as _, path::Path};

use super::{
    run::{Reading, run},
    summary::Score,
    *,
};
use crate::search::MethodKind;

/// A recording of `rows` in a file of its own.
fn recorded(rows: &str) -> Recording {
    let mut file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    file.write_all(rows.as_bytes()).unwrap();
    Recording::read(file.path()).unwrap().remove(0)
}

/// Two sizes of 16 values each with noise in their times; those whose product is too large fail.
fn bowl() -> Recording {
    let mut rows = String::from("param:x,param:y,sample_ms_0,sample_ms_1,sample_ms_2,sample_ms_3\n");
    for (x, y) in (0..256).map(|index| (index % 16 + 1, index / 16 + 1)) {
        let time = 1.0 + 0.02 * f64::from((x - 11_i32).pow(2) + (y - 5_i32).pow(2));
        let times = [1.03, 0.99, 1.0, 1.01].map(|noise| (noise * time).to_string()).join(",");
        let times = if x * y > 150 { ",,," } else { &times };
        rows.push_str(&format!("{x},{y},{times}\n"));
    }
    recorded(&rows)
}

#[test]
fn a_recording_holds_times_failures_and_the_optimum() {
    let recording = recorded(
        "param:block,param:mode,comment,sample_ms_0,sample_ms_1,sample_ms_2\n\
         32,fast,first,3.0,1.0,2.0\n\
         64,fast,,,,\n\
         32,slow,\"with, comma\",5,,4\n\
         32.0,fast,again,9,9,\n",
    );
    assert_eq!(recording.samples, [vec![3.0, 1.0, 2.0, 9.0, 9.0], vec![], vec![5.0, 4.0]]);
    assert_eq!(recording.medians, [Some(3.0), None, Some(4.5)]);
    assert_eq!((recording.optimum, recording.space.len()), (3.0, 3));
    assert_eq!(recording.space.neighbours(0), [1, 2]);
}

#[test]
fn a_search_draws_launches_and_scores_by_medians() {
    let recording = bowl();
    let readings = run(&recording, MethodKind::Surrogate, Measuring::Racing, &[10, 60], 3);
    let [few, many] = readings[..] else { panic!("{readings:?}") };
    assert!(few.fraction < many.fraction && many.fraction > 0.97, "{readings:?}");
    assert!(few.launches >= 10.0 && few.launches < many.launches, "{readings:?}");
    assert!(many.seconds > 0.06 && many.seconds < 1.0, "{readings:?}");
    assert_eq!(run(&recording, MethodKind::Surrogate, Measuring::Racing, &[10, 60], 3), readings);
    // A run of few trials is how one of many begins.
    assert_eq!(run(&recording, MethodKind::Surrogate, Measuring::Racing, &[60], 3), [many]);
}

#[test]
fn a_search_of_every_point_reaches_the_optimum() {
    for measuring in [Measuring::Racing, Measuring::Uniform(10)] {
        let readings = run(&bowl(), MethodKind::Random, measuring, &[256, 400], 1);
        assert!(readings[0].fraction > 0.97, "{readings:?}");
        assert_eq!(readings[0], readings[1], "nothing is left to try");
    }
}

#[test]
fn uniform_repetition_launches_every_point_equally_often() {
    let recording = recorded("param:x,sample_ms_0\n1,5\n2,4\n3,\n");
    let readings = run(&recording, MethodKind::Random, Measuring::Uniform(10), &[3], 1);
    assert_eq!(readings, [Reading { fraction: 1.0, launches: 21.0, seconds: 0.09 }]);
}

#[test]
fn a_failure_costs_a_trial_and_a_launch() {
    // Of 40 points one runs: whoever has not tried it has nothing to show.
    let mut rows = String::from("param:x,sample_ms_0\n0,1\n");
    (1..40).for_each(|x| rows.push_str(&format!("{x},\n")));
    let recording = recorded(&rows);
    let searches: Vec<Vec<Reading>> =
        (0..40).map(|seed| run(&recording, MethodKind::Random, Measuring::Racing, &[20, 40], seed)).collect();
    let found = searches.iter().filter(|readings| readings[0].fraction == 1.0).count();
    assert!((8..32).contains(&found), "{found} of 40 found it within half of the trials");
    assert!(searches.iter().all(|readings| readings[1].fraction == 1.0 && readings[1].launches >= 40.0));
}

#[test]
fn a_series_sums_up_the_same_in_any_order() {
    let recordings = [bowl(), recorded("param:x,sample_ms_0\n1,5\n2,4\n")];
    let series = Series {
        method: MethodKind::Random,
        measuring: Measuring::Racing,
        trials: vec![1, 2, 30],
        repetitions: 20,
        seed: 1,
    };
    let summary = serde_json::to_value(series.run(&recordings, &|| ())).unwrap();
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(summary, alone.install(|| serde_json::to_value(series.run(&recordings, &|| ())).unwrap()));
    let (mean, worst) = (&summary["trials"]["30"]["mean"], &summary["trials"]["30"]["worst"]);
    let spaces: Vec<f64> =
        summary["spaces"].as_object().unwrap().values().map(|space| space["30"].as_f64().unwrap()).collect();
    assert_eq!(mean.as_f64().unwrap(), (spaces[0] + spaces[1]) / 2.0);
    assert_eq!(worst.as_f64().unwrap(), spaces[0].min(spaces[1]));
}

#[test]
fn launches_are_read_between_the_numbers_of_trials() {
    let score = |mean| Score { mean, worst: mean };
    let summary = Summary {
        trials: [(10, score(0.8)), (20, score(0.9))].into(),
        spaces: BTreeMap::new(),
        launches: [(10, 12.0), (20, 24.0)].into(),
        simulated_seconds: BTreeMap::new(),
    };
    assert_eq!(summary.launches_to_reach(0.7), Some(12.0));
    assert!((summary.launches_to_reach(0.85).unwrap() - 18.0).abs() < 1e-9);
    assert_eq!(summary.launches_to_reach(0.95), None);
}

/// What the recorded spaces must show: a search of 100 trials far above random search (0.873 on average, 0.704 on the
/// worst space) and above iterated local search (0.901 and 0.805), with few launches.
#[test]
fn the_recorded_spaces_are_searched_well() {
    let Some(folder) = std::env::var_os("DUSTIN_TEST_DATA") else {
        eprintln!("skipped: DUSTIN_TEST_DATA is not set");
        return;
    };
    let spaces = ["convolution.A100", "convolution.RTX_3090", "dedispersion.W6600", "pnpoly.RTX_2080_Ti"];
    let read = |name: &&str| {
        Recording::read(&Path::new(&folder).join("recorded-spaces").join(format!("{name}.csv.gz")))
            .unwrap()
            .remove(0)
    };
    let recordings: Vec<Recording> = spaces.iter().map(read).collect();
    let series = |measuring, trials: &[usize]| {
        let (method, trials) = (MethodKind::Surrogate, trials.to_vec());
        Series { method, measuring, trials, repetitions: 20, seed: 1 }.run(&recordings, &|| ())
    };
    let racing = series(Measuring::Racing, &[50, 100, 150]);
    let score = racing.trials[&100];
    assert!(score.mean >= 0.93 && score.worst >= 0.80, "{racing:?}");
    let uniform = series(Measuring::Uniform(10), &[100]);
    let launches = racing.launches_to_reach(uniform.trials[&100].mean);
    assert!(launches.is_some_and(|own| own <= 0.3 * uniform.launches[&100]), "{racing:?} {uniform:?}");
}
