//! Candidates that do harm, each made to look fastest: none wins, none ends the search, and each reason is told.

use std::{fs, path::Path, time::Instant};

use crate::common::{Finished, TINY, autotune, json, run};
use dustin::profile;
use serde_json::Value;

/// What else is said of the problem.
const SHAPE: [&str; 3] = ["--batch=2", "--layout=hnd", "--json"];

/// One of the problem's candidates, and not the default.
const VICTIM: &str = "attention_cpu_t128_q4, 1 split, 1 thread";

/// Tunes while `fault` of the victim is there to be found.
fn tune(folder: &Path, fault: &str, more: &[&str]) -> Finished {
    tune_with(folder, &format!("{fault}={VICTIM}"), more)
}

fn tune_with(folder: &Path, fault: &str, more: &[&str]) -> Finished {
    let mut command = autotune(folder);
    command.arg("tune").args(TINY).args(SHAPE).args(more).env("DUSTIN_AUTOTUNE_FAULT", fault);
    Finished::of(command.output().unwrap())
}

/// Asserts that the victim alone was rejected, for a reason with `word`, and that another candidate won.
#[track_caller]
fn assert_contained(folder: &Path, tuned: &Finished, word: &str) {
    assert_eq!(tuned.code, Some(0), "{tuned:?}");
    let row = &json(tuned)["results"][0];
    let rejected = row["rejected"].as_array().unwrap();
    assert_eq!((rejected.len(), &rejected[0]["point"]), (1, &VICTIM.into()), "{row}");
    assert!(rejected[0]["reason"].as_str().unwrap().contains(word), "{row}");
    assert_eq!((&row["untried"], &row["ending"]), (&0.into(), &"complete".into()), "{row}");
    assert_ne!(row["chosen"], VICTIM);
    let profile = profile::read(&folder.join("tiny.toml")).unwrap().profile;
    let choice = &profile.entries[0].choice;
    let thread = choice.launch.threads == Some(1) && choice.launch.splits == Some(1);
    assert!(!(VICTIM.starts_with(&choice.variant) && thread), "{choice:?}");
}

#[test]
fn without_a_fault_a_candidate_that_looks_fastest_wins() {
    let folder = tempfile::tempdir().unwrap();
    // Harm that is never due: what keeps it from winning elsewhere is nothing but the harm.
    let tuned = tune(folder.path(), "none", &[]);
    assert_eq!(json(&tuned)["results"][0]["chosen"], VICTIM, "{tuned:?}");
}

#[test]
fn every_harm_at_every_moment_is_contained_and_told() {
    for moment in ["check", "time", "finals", "confirm"] {
        for (harm, word) in
            [("illegal-access", "SIGSEGV"), ("out-of-memory", "memory allocation of"), ("crash", "SIGABRT")]
        {
            let folder = tempfile::tempdir().unwrap();
            let tuned = tune(folder.path(), &format!("{harm}@{moment}"), &[]);
            assert_contained(folder.path(), &tuned, word);
            assert!(tuned.stdout.contains("quarantined: "), "{harm}@{moment}: {tuned:?}");
        }
    }
}

#[test]
fn wrong_results_are_found_alone_and_as_they_are_timed() {
    for harm in ["wrong", "nan"] {
        for (moment, words) in [
            ("check", ["of row ", "must be"]),
            ("time", ["right alone, but wrong as it is timed: ", "must be"]),
            ("finals", ["right alone, but wrong as it is timed: ", "must be"]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let tuned = tune(folder.path(), &format!("{harm}@{moment}"), &[]);
            assert_contained(folder.path(), &tuned, words[0]);
            assert_contained(folder.path(), &tuned, words[1]);
            assert!(!tuned.stdout.contains("quarantined: "), "{harm}@{moment}: {tuned:?}");
            // It was timed, and won the finals, unless its check gave it away.
            let timed = records(folder.path()).iter().any(|record| {
                record["record"] == "timed"
                    && VICTIM.starts_with(record["candidate"]["variant"].as_str().unwrap())
            });
            assert!(timed || moment == "check", "{harm}@{moment}");
        }
    }
}

#[test]
fn wrong_results_of_every_candidate_leave_nothing_to_choose() {
    for (fault, word) in [("wrong", "must be"), ("nan", "must be"), ("nan@time", "as it is timed")] {
        let folder = tempfile::tempdir().unwrap();
        tune_with(folder.path(), &format!("{fault}=*"), &["--trials=6"])
            .refuses(1, &["candidates tried serves the problem", word]);
        assert!(!folder.path().join("tiny.toml").exists());
    }
}

#[test]
fn times_that_are_none_are_failures_in_the_journal_too_and_one_of_a_check_is_no_time() {
    for moment in ["time", "finals"] {
        let folder = tempfile::tempdir().unwrap();
        let tuned = tune(folder.path(), &format!("bad-time@{moment}"), &[]);
        assert_contained(folder.path(), &tuned, "not positive numbers: [-1.0");
        let records = records(folder.path());
        let failed: Vec<&Value> = records.iter().filter(|record| record["record"] == "failed").collect();
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert!(failed[0]["reason"].as_str().unwrap().contains("not positive numbers"), "{failed:?}");
        let times = records.iter().filter_map(|record| record["us"].as_array()).flatten();
        assert!(times.into_iter().all(|us| us.as_f64().is_some_and(|us| us > 0.0)), "{moment}");
    }
    let folder = tempfile::tempdir().unwrap();
    let tuned = tune(folder.path(), "bad-time@check", &[]);
    assert_eq!(json(&tuned)["results"][0]["chosen"], VICTIM, "{tuned:?}");
}

/// The records of the journal.
fn records(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("tiny.cpu.journal")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_candidate_that_hangs_is_stopped_long_before_it_ends() {
    for moment in ["check", "finals", "confirm"] {
        let (folder, start) = (tempfile::tempdir().unwrap(), Instant::now());
        let tuned = tune(folder.path(), &format!("hang@{moment}"), &["--candidate-timeout=1s"]);
        assert_contained(folder.path(), &tuned, "gave no answer within");
        assert!(start.elapsed().as_secs() < 25, "{:?}", start.elapsed());
    }
}

#[test]
fn a_device_on_which_nobody_serves_is_lost_in_one_sentence() {
    for (harm, words) in [
        ("crash", ["the device no longer answers: 3 workers in a row failed at own", "SIGABRT", "--resume"]),
        // Whoever passes its check shows that the device still answers.
        ("crash@time", ["candidates tried serves the problem", "quarantined", "SIGABRT"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        tune_with(folder.path(), &format!("{harm}=*"), &[]).refuses(1, &words);
        assert!(!folder.path().join("tiny.toml").exists());
    }
}

#[test]
fn a_default_that_crashes_is_replaced_by_what_serves() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = json(&run(folder.path(), &[&["tune"], &TINY[..], &SHAPE].concat()));
    let default = tuned["results"][0]["default"].as_str().unwrap();
    fs::remove_file(folder.path().join("tiny.toml")).unwrap();
    let tuned = tune_with(folder.path(), &format!("crash={default}"), &[]);
    // The profile's entries name the default's time, so this problem has none.
    assert_eq!(tuned.code, Some(1), "{tuned:?}");
    assert!(tuned.stderr.contains("the built-in default cannot serve it"), "{tuned:?}");
    let row = &json(&tuned)["results"][0];
    assert_eq!((&row["untried"], row["rejected"].as_array().unwrap().len()), (&0.into(), 1), "{row}");
}

#[test]
fn an_entry_whose_choice_crashes_is_wrong_and_the_others_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    for more in [&[][..], &["--lse"]] {
        assert_eq!(run(folder.path(), &[&["tune"], &TINY[..], &SHAPE, more].concat()).code, Some(0));
    }
    let read = profile::read(&folder.path().join("tiny.toml")).unwrap();
    let chosen = |index: usize| &read.profile.entries[index].choice;
    let shown = run(folder.path(), &["verify", "tiny.toml", "--device=cpu", "--tolerance=2000", "--json"]);
    let first = json(&shown)["entries"][0]["chosen"].as_str().unwrap().to_owned();
    let mut verify = autotune(folder.path());
    verify.args(["verify", "tiny.toml", "--device=cpu", "--tolerance=2000", "--json"]);
    let verified =
        Finished::of(verify.env("DUSTIN_AUTOTUNE_FAULT", format!("crash={first}")).output().unwrap());
    let entries = json(&verified)["entries"].clone();
    assert_eq!((verified.code, &entries[0]["verdict"]), (Some(3), &"wrong".into()), "{verified:?}");
    let second = if chosen(0) == chosen(1) { "wrong" } else { "holds" };
    assert_eq!(entries[1]["verdict"], second, "{verified:?}");
}

#[test]
fn an_entry_whose_choice_is_wrong_as_it_is_timed_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &[&["tune"], &TINY[..]].concat()).code, Some(0));
    let mut verify = autotune(folder.path());
    verify.args(["verify", "tiny.toml", "--device=cpu", "--tolerance=2000", "--json"]);
    let verified = Finished::of(verify.env("DUSTIN_AUTOTUNE_FAULT", "wrong@time=*").output().unwrap());
    let entry = &json(&verified)["entries"][0];
    assert_eq!((verified.code, &entry["verdict"]), (Some(3), &"wrong".into()), "{verified:?}");
    assert!(entry["remark"].as_str().unwrap().contains("wrong as it is timed"), "{entry}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_does_not_outlive_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let fault = format!("hang={VICTIM}");
    let mut child = autotune(folder.path())
        .arg("tune")
        .args(TINY)
        .args(SHAPE)
        .env("DUSTIN_AUTOTUNE_FAULT", &fault)
        .spawn()
        .unwrap();
    let workers = || {
        let cmdlines = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let ours = contains(&environment, folder.path().as_os_str().as_encoded_bytes());
            (ours && contains(&command, b"\0worker\0")).then_some(())
        });
        cmdlines.count()
    };
    wait(|| workers() == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    wait(|| workers() == 0);
}

#[cfg(target_os = "linux")]
fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Waits until it is so, far less long than a hanging candidate hangs.
#[cfg(target_os = "linux")]
fn wait(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed().as_secs() < 20);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
