//! Replay end to end, on a small recorded space.

use std::{fmt::Write as _, fs, path::Path};

use crate::common::run;

/// Writes a space of two sizes and a name, some of whose points failed.
fn record(path: &Path) {
    let mut rows = String::from("param:x,param:y,param:mode,sample_ms_0,sample_ms_1,sample_ms_2\n");
    for (x, y) in (0..64_i32).map(|index| (1_i32 << (index % 8), index / 8)) {
        for (mode, slower) in [("ring", 1.0), ("tree", 1.5)] {
            let time = slower * (1.0 + 0.1 * f64::from((x - 16).abs() / 4 + (y - 5).abs()));
            match x * y > 400 {
                true => writeln!(rows, "{x},{y},{mode},,,"),
                false => writeln!(rows, "{x},{y},{mode},{},{time},{}", 1.2 * time, 1.01 * time),
            }
            .expect("a string can be written");
        }
    }
    fs::write(path, rows).expect("it can be written");
}

#[test]
fn a_recorded_space_is_replayed_against_random_search() {
    let folder = tempfile::tempdir().unwrap();
    record(&folder.path().join("made-up.csv"));
    let arguments = ["replay", "made-up.csv", "--repetitions=20", "--trials=40,20"];
    let told = run(folder.path(), &[&arguments[..], &["--json"]].concat());
    assert_eq!(told.code, Some(0), "{told:?}");
    let report: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&report["method"], &report["repetitions"]), (&"surrogate".into(), &20.into()));
    let mean = |report: &serde_json::Value, trials: &str| report["trials"][trials]["mean"].as_f64().unwrap();
    assert!(mean(&report, "40") > 0.95, "{report}");
    assert!(mean(&report, "20") > mean(&report["random"], "20"), "{report}");
    assert_eq!(report["trials"]["40"]["worst"], report["trials"]["40"]["mean"], "there is one space");
    assert_eq!(report["spaces"]["made-up"]["40"], report["trials"]["40"]["mean"]);
    assert_eq!(report["trials"].as_object().unwrap().len(), 2);
    let launches = |report: &serde_json::Value| report["launches"]["40"].as_f64().unwrap();
    assert!(launches(&report) < launches(&report["uniform"]), "{report}");

    assert!(report["launches_against_uniform"]["20"].as_f64().unwrap() < 1.0, "{report}");

    assert_eq!(run(folder.path(), &[&arguments[..], &["--json"]].concat()).stdout, told.stdout);
    let other = run(folder.path(), &[&arguments[..], &["--json", "--seed=2"]].concat());
    assert_ne!(other.stdout, told.stdout);
    let table = run(folder.path(), &arguments);
    for word in ["trials", "worst space", "uniform x10", "made-up"] {
        assert!(table.stdout.contains(word), "{word}: {table:?}");
    }
}

#[test]
fn every_method_can_be_replayed_and_spaces_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("other")).unwrap();
    record(&folder.path().join("made-up.csv"));
    record(&folder.path().join("other/made-up.csv"));
    for method in ["surrogate", "local", "random"] {
        let finished = run(
            folder.path(),
            &[
                "replay",
                "made-up.csv",
                "other/made-up.csv",
                "made-up.csv",
                "made-up.csv",
                "--repetitions=2",
                "--json",
                "--method",
                method,
            ],
        );
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
        let names: Vec<&String> = report["spaces"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["made-up", "made-up.csv", "made-up.csv (2)", "other/made-up.csv"], "{method}");
        // The space has fewer points than the most trials: all are tried.
        let fraction = report["trials"]["400"]["mean"].as_f64().unwrap();
        assert!(fraction > 0.98, "{method}: {fraction}");
    }
}
