//! `audit`, on the CPU.

use std::{collections::HashSet, fs, path::Path};

use serde_json::Value;

use crate::common::{Finished, TINY, autotune, json, run};

const AUDIT: [&str; 4] = ["audit", "tiny.toml", "--device=cpu", "--json"];

fn tune(folder: &Path) -> Finished {
    run(folder, &[&["tune"], &TINY[..], &["--batch=2"]].concat())
}

#[test]
fn a_profile_is_audited_on_buckets_that_it_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = tune(folder.path());
    assert_eq!(tuned.code, Some(0), "{tuned:?}");

    let audited = run(folder.path(), &[&AUDIT[..], &["--problems=24"]].concat());
    let report = json(&audited);
    let problems = report["problems"].as_array().unwrap();
    let buckets: HashSet<&str> = problems.iter().map(|one| one["bucket"].as_str().unwrap()).collect();
    assert_eq!(buckets.len(), 24, "{audited:?}");
    assert!(problems.iter().any(|one| one["source"].as_str().unwrap().starts_with("near")), "{audited:?}");
    for problem in problems {
        assert_ne!(problem["source"], "its own entry", "{problem}");
        let same = problem["chosen"] == problem["default"];
        assert_eq!(same, problem["verdict"] == "default", "{problem}");
        assert_eq!(same, problem["us"].is_null() && problem["gain_us"].is_null(), "{problem}");
        assert!(problem["regret"].is_null(), "nothing was searched: {problem}");
    }
    let count = |verdict: &str| problems.iter().filter(|one| one["verdict"] == verdict).count() as u64;
    assert_eq!((report["slower"].as_u64(), count("wrong")), (Some(count("slower")), 0), "{audited:?}");
    assert_eq!(audited.code, Some(if count("slower") > 0 { 3 } else { 0 }));

    let searched = run(folder.path(), &[&AUDIT[..], &["--problems=2", "--trials=3"]].concat());
    let report = json(&searched);
    for problem in report["problems"].as_array().unwrap() {
        assert!(problem["regret"].as_f64().unwrap() >= 0.0, "{problem}");
    }
    assert!(report["worst_regret"].as_f64().is_some(), "{searched:?}");
}

#[test]
fn a_choice_is_compared_with_the_fastest_found_for_problems_inside_its_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = tune(folder.path());
    assert_eq!(tuned.code, Some(0), "{tuned:?}");
    let asked = ["--members", "--problems=6", "--trials=4", "--most-regret=10000"];
    let audited = run(folder.path(), &[&AUDIT[..], &asked].concat());
    let report = json(&audited);
    let problems = report["problems"].as_array().unwrap();
    assert!(!problems.is_empty(), "{audited:?}");
    let names: HashSet<&str> = problems.iter().map(|one| one["workload"].as_str().unwrap()).collect();
    assert_eq!(names.len(), problems.len(), "no two are alike: {audited:?}");
    for problem in problems {
        assert_eq!(problem["source"], "its own entry", "{problem}");
        assert_ne!(problem["workload"], problem["bucket"], "{problem}");
        let regret = problem["regret"].as_f64().unwrap();
        assert!(regret >= 0.0, "{problem}");
        assert_eq!(regret == 0.0, problem["fastest"].is_null(), "{problem}");
    }
    assert_eq!(report["searched"].as_u64(), Some(problems.len() as u64));
    assert!(report["unbeaten"].as_u64() <= report["searched"].as_u64());
}

#[test]
fn a_default_that_is_wrong_as_it_is_timed_is_told_by_a_search_though_there_is_nothing_to_compare_it_with() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(tune(folder.path()).code, Some(0));
    let arguments = [&AUDIT[..], &["--problems=2", "--trials=3"]].concat();
    let is_default = |problem: &Value| problem["chosen"] == problem["default"];
    let right = json(&run(folder.path(), &arguments));
    let right = right["problems"].as_array().unwrap().iter().find(|problem| is_default(problem));
    let victim = right.expect("a problem that the default serves")["default"].as_str().unwrap().to_owned();

    let mut faulty = autotune(folder.path());
    faulty.args(&arguments).env("DUSTIN_AUTOTUNE_FAULT", format!("wrong@time={victim}"));
    let audited = Finished::of(faulty.output().unwrap());
    let report = json(&audited);
    let of_victim = |problem: &&Value| is_default(problem) && problem["default"] == victim.as_str();
    let told: Vec<&Value> = report["problems"].as_array().unwrap().iter().filter(of_victim).collect();
    assert!(!told.is_empty() && audited.code == Some(3), "{audited:?}");
    for problem in told {
        assert_eq!(problem["verdict"], "wrong", "{problem}");
        assert!(problem["remark"].as_str().unwrap().contains("wrong as it is timed"), "{problem}");
    }
}

#[test]
fn without_a_profile_there_is_nothing_to_audit() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &AUDIT).refuses(1, &["tiny.toml"]);
    fs::write(folder.path().join("tiny.toml"), "no profile").unwrap();
    run(folder.path(), &AUDIT).refuses(1, &["tiny.toml"]);
    run(folder.path(), &[&AUDIT[..], &["--problems=0"]].concat()).refuses(2, &["--problems"]);
    run(folder.path(), &[&AUDIT[..], &["--most-regret=5"]].concat()).refuses(2, &["--trials"]);
}
