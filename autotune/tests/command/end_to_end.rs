//! The commands end to end, on the CPU.

use std::{fs, path::Path};

use crate::common::{Finished, TINY, assert_same_nanoseconds, autotune, json, run};
use dustin::profile;

fn tune(folder: &Path, more: &[&str]) -> Finished {
    run(folder, &[&["tune"], &TINY[..], &["--batch=2", "--layout=hnd"], more].concat())
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("autotune tune --workload") && help.stdout.contains("130"), "{help:?}");
}

#[test]
fn workloads_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let listed = json(&run(folder.path(), &["plan", "--list-workloads", "--json"]));
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"w1") && names.contains(&"cpu-0.5b"), "{names:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    for more in [&[][..], &["--json"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let child =
            autotune(folder.path()).args(["plan", "--list-workloads"]).args(more).stdout(full).output();
        Finished::of(child.unwrap()).refuses(1, &["standard output cannot be written"]);
    }
}

#[test]
fn a_plan_names_profile_key_and_time_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plan = run(folder.path(), &["plan", "--device", "cpu"]);
    assert_eq!(plan.code, Some(0), "{plan:?}");
    for word in ["profiles/", ".toml (new)", "at most about", "cpu-0.5b", "batch 1 x"] {
        assert!(plan.stdout.contains(word), "{word}: {plan:?}");
    }
    assert!(!plan.stdout.contains("SparseAttention"), "{plan:?}");
    let plan = json(&run(folder.path(), &["plan", "--device", "cpu", "--json"]));
    assert!(plan["tasks"][0]["bucket"].as_str().unwrap().contains("SparseAttention"), "{plan}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_tuned_profile_is_written_shown_verified_and_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    let tuned = tune(folder.path(), &["--json"]);
    assert_eq!(tuned.code, Some(0), "{tuned:?}");
    let report = json(&tuned);
    let row = &report["results"][0];
    assert!(row["us"].as_f64().unwrap() > 0.0, "{row}");
    assert!(row["speedup"].as_f64().unwrap() >= 1.0 || row["chosen"] == row["default"], "{row}");
    assert_eq!(row["rejected"].as_array().unwrap().len(), 0, "{row}");
    assert_eq!(row["untried"], 0, "{row}");

    let read = profile::read(&path).unwrap();
    assert_eq!((read.warnings.len(), read.profile.entries.len()), (0, 1), "{:?}", read.warnings);
    let first = read.profile.entries[0].clone();
    assert!(!first.is_manual());
    assert_same_nanoseconds(first.measurement.as_ref().unwrap().median_us, &row["us"]);

    let shown = run(folder.path(), &["show", "tiny.toml"]);
    assert_eq!(shown.code, Some(0));
    assert!(shown.stdout.contains(&first.choice.variant), "{shown:?}");

    // A generous tolerance: this machine is shared, and what is tested is the command.
    let verified = run(folder.path(), &["verify", "tiny.toml", "--device=cpu", "--tolerance=2000"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.stdout.contains("holds"), "{verified:?}");

    let added = run(
        folder.path(),
        &[
            "tune",
            "--device=cpu",
            "--model=Qwen2.5-0.5B",
            "--batch=1",
            "--context=64",
            "--budget-k=16",
            "-o=tiny.toml",
            "-q",
        ],
    );
    assert_eq!((added.code, added.stdout.as_str(), added.stderr.as_str()), (Some(0), "", ""));
    let read = profile::read(&path).unwrap();
    assert_eq!(read.profile.entries.len(), 2);
    assert_eq!(read.profile.entries[0], first);
}

#[test]
fn every_kernel_is_planned_tuned_shown_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let workloads = ["--workload=cpu-score-7b", "--workload=cpu-score-draft", "--workload=cpu-select"];
    let with = |command: &[&'static str]| [command, &workloads, &["--device=cpu", "-o=tiny.toml"]].concat();
    let plan = json(&run(folder.path(), &with(&["plan", "--json"])));
    let buckets: Vec<&str> =
        plan["tasks"].as_array().unwrap().iter().map(|task| task["bucket"].as_str().unwrap()).collect();
    assert!(buckets[1].starts_with("SrhScore") && buckets[1].contains("Eager Warm"), "{buckets:?}");
    assert!(buckets[2].starts_with("Selection") && buckets[2].contains("Both maps"), "{buckets:?}");

    let tuned = run(folder.path(), &with(&["tune", "--json"]));
    assert_eq!(tuned.code, Some(0), "{tuned:?}");
    let report = json(&tuned);
    for row in report["results"].as_array().unwrap() {
        assert_eq!((row["rejected"].as_array().unwrap().len(), &row["untried"]), (0, &0.into()), "{row}");
        assert!(row["gigabytes_per_second"].as_f64().unwrap() > 0.0, "{row}");
    }
    // Whoever has maps and caches in memory has more than a megabyte, and the most is that of one of them.
    let peaks = report["results"].as_array().unwrap().iter().map(|row| row["peak_memory_bytes"].as_u64());
    let most = peaks.max().flatten();
    assert_eq!(report["peak_memory_bytes"].as_u64(), most);
    assert!(!cfg!(target_os = "linux") || most.is_some_and(|bytes| bytes > 1 << 20), "{report}");
    let profile = profile::read(&folder.path().join("tiny.toml")).unwrap().profile;
    let kernels: Vec<profile::Kernel> =
        profile.entries.iter().map(|entry| entry.key.kernel.kernel()).collect();
    let (score, selection) = (profile::Kernel::SrhScore, profile::Kernel::Selection);
    assert_eq!(kernels, [score, score, selection]);
    assert!(profile.entries.iter().all(|entry| !entry.is_manual()));

    let shown = run(folder.path(), &["show", "tiny.toml"]);
    for word in ["3 layers of 4 heads on 2 KV heads", "select batch 4 x 16384, k 512, both, quota"] {
        assert!(shown.stdout.contains(word), "{word}: {shown:?}");
    }
    let verified = run(folder.path(), &["verify", "tiny.toml", "--device=cpu", "--tolerance=2000"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(verified.stdout.matches("holds").count(), 3, "{verified:?}");
}

#[test]
fn full_attention_and_trees_are_tuned_shown_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let own = ["--device=cpu", "--model=Qwen2.5-0.5B", "--context=100", "--page-size=4", "-o=tiny.toml"];
    let tune = |shape: &[&'static str]| {
        let arguments = [&["tune"], &own[..], shape, &["--trials=5", "--json"]].concat();
        json(&run(folder.path(), &arguments))["results"].clone()
    };
    let full = tune(&["--full", "--batch=1,2"]);
    assert_eq!((&full[0]["workload"], &full[1]["workload"]), (&"own-b1".into(), &"own-b2".into()));
    let tree = tune(&["--tree", "--gamma=15", "--budget-k=32", "--batch=1"]);
    for row in [&full[0], &full[1], &tree[0]] {
        assert_eq!((row["rejected"].as_array().unwrap().len(), &row["tried"]), (0, &5.into()), "{row}");
    }
    let shown = run(folder.path(), &["show", "tiny.toml"]);
    for word in ["batch 2 x 128, 5 rows, everything", "16 rows of a tree, k 64"] {
        assert!(shown.stdout.contains(word), "{word}: {shown:?}");
    }
    let verified = run(folder.path(), &["verify", "tiny.toml", "--device=cpu", "--tolerance=2000"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(verified.stdout.matches("holds").count(), 3, "{verified:?}");
}

#[test]
fn a_stale_entry_fails_verification() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    assert_eq!(tune(folder.path(), &["--quiet"]).code, Some(0));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("revision = ", "revision = 9")).unwrap();
    let verified = run(folder.path(), &["verify", "tiny.toml", "--device=cpu"]);
    assert_eq!(verified.code, Some(3), "{verified:?}");
    assert!(verified.stdout.contains("stale") && verified.stdout.contains("revision"), "{verified:?}");
}

#[test]
fn an_entry_that_became_slower_fails_verification() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    assert_eq!(tune(folder.path(), &["--quiet"]).code, Some(0));
    let read = profile::read(&path).unwrap();
    let mut profile = read.profile;
    let entry = profile.entries[0].clone();
    let mut measurement = entry.measurement.unwrap();
    (measurement.median_us, measurement.ci95_low_us, measurement.ci95_high_us) = (0.001, 0.001, 0.001);
    profile.put(profile::Entry::measured(entry.key, entry.choice, measurement));
    profile::write(&path, &profile).unwrap();
    let verified = run(folder.path(), &["verify", "tiny.toml", "--device=cpu", "--json"]);
    assert_eq!(verified.code, Some(3), "{verified:?}");
    assert_eq!(json(&verified)["entries"][0]["verdict"], "slower");
}

/// Tunes two problems into `tiny.toml`.
fn tune_two(folder: &Path) {
    assert_eq!(tune(folder, &["--quiet"]).code, Some(0));
    assert_eq!(tune(folder, &["--quiet", "--lse"]).code, Some(0));
}

#[test]
fn a_profile_that_was_cut_fails_verification() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    tune_two(folder.path());
    let text = fs::read_to_string(&path).unwrap();
    let boundaries: Vec<usize> = text.match_indices("[[entry]]").map(|(start, _)| start).collect();
    assert_eq!(boundaries.len(), 2);
    for (boundary, left) in boundaries.into_iter().zip([0, 1]) {
        fs::write(&path, &text[..boundary]).unwrap();
        let verify = ["verify", "tiny.toml", "--device=cpu", "--tolerance=2000", "--json", "--quiet"];
        let verified = run(folder.path(), &verify);
        assert_eq!(verified.code, Some(3), "{verified:?}");
        let report = json(&verified);
        assert_eq!((&report["holds"], report["entries"].as_array().unwrap().len()), (&false.into(), left));
        let warning = report["warnings"][0].as_str().unwrap();
        assert!(warning.contains("announces 2 entries"), "{warning}");
    }
}

#[test]
fn an_entry_that_cannot_be_read_fails_verification() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    tune_two(folder.path());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("median_us", "median_ms", 1)).unwrap();
    let verified = run(folder.path(), &["verify", "tiny.toml", "--device=cpu", "--tolerance=2000", "--json"]);
    assert_eq!(verified.code, Some(3), "{verified:?}");
    let report = json(&verified);
    assert_eq!(report["entries"].as_array().unwrap().len(), 1, "{report}");
    assert!(report["warnings"][0].as_str().unwrap().contains("median_ms"), "{report}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_entry_too_large_for_the_memory_is_unchecked_and_the_others_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    tune_two(folder.path());
    let mut profile = profile::read(&path).unwrap().profile;
    let profile::Entry { key, choice, .. } = profile.entries.remove(0);
    let profile::KernelKey::SparseAttention(mut huge) = key.kernel else { panic!("{key:?}") };
    (huge.batch, huge.length_class) = (4096, 1 << 20);
    let huge = profile::Key { kernel: profile::KernelKey::SparseAttention(huge), ..key };
    profile.entries.insert(0, profile::Entry::manual(huge, choice));
    profile::write(&path, &profile).unwrap();
    let verified = run(folder.path(), &["verify", "tiny.toml", "--device=cpu", "--tolerance=2000", "--json"]);
    assert_eq!(verified.code, Some(3), "{verified:?}");
    let entries = &json(&verified)["entries"];
    assert_eq!((&entries[0]["verdict"], &entries[1]["verdict"]), (&"unchecked".into(), &"holds".into()));
    assert!(entries[0]["remark"].as_str().unwrap().contains("GB of memory"), "{entries}");
}

#[test]
fn adding_to_a_profile_of_another_provenance_says_what_that_means_for_its_entries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    tune_two(folder.path());
    let mut profile = profile::read(&path).unwrap().profile;
    profile.provenance.kernel_source_hash = "of last year".into();
    profile::write(&path, &profile).unwrap();
    let added = tune(folder.path(), &[]);
    assert_eq!(added.code, Some(0), "{added:?}");
    for word in ["kernel_source_hash: was \"of last year\"", "2 older entries", "`autotune verify`"] {
        assert!(added.stderr.contains(word), "{word}: {added:?}");
    }
}

#[test]
fn a_search_of_few_trials_tries_so_many_and_keeps_a_result() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |more: &[&str]| {
        let tuned = ["--device=cpu", "--workload=cpu-0.5b", "--json"];
        json(&run(folder.path(), &[&["plan"], &tuned[..], more].concat()))["seconds"].as_f64().unwrap()
    };
    assert!(plan(&["--trials=3"]) < plan(&[]));
    for method in [&[][..], &["--method=local"], &["--method=random"]] {
        let tuned = tune(folder.path(), &[&["--trials=7", "--json"], method].concat());
        assert_eq!(tuned.code, Some(0), "{tuned:?}");
        let row = &json(&tuned)["results"][0];
        assert_eq!((&row["tried"], &row["ending"]), (&7.into(), &"complete".into()), "{row}");
        assert!(row["untried"].as_u64().unwrap() > 0, "{row}");
    }
}

#[test]
fn a_budget_ends_the_search_and_keeps_a_result() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = tune(folder.path(), &["--budget=1ms", "--json"]);
    assert_eq!(tuned.code, Some(0), "{tuned:?}");
    let row = &json(&tuned)["results"][0];
    assert_eq!((&row["ending"], &row["chosen"]), (&"budget".into(), &row["default"]));
    assert!(tuned.stderr.contains("own: the budget ended after 1 of "), "{tuned:?}");
    assert_eq!(profile::read(&folder.path().join("tiny.toml")).unwrap().profile.entries.len(), 1);
}

#[cfg(unix)]
#[test]
fn an_interruption_keeps_what_was_found() {
    use std::{
        io::{BufRead, BufReader},
        os::unix::process::CommandExt,
        process::{Command, Stdio},
    };

    let folder = tempfile::tempdir().unwrap();
    assert_eq!(tune(folder.path(), &["--quiet"]).code, Some(0));
    // As a terminal does it: everybody in the command's process group is interrupted.
    let mut child = autotune(folder.path())
        .process_group(0)
        .args(["tune", "--device=cpu", "--workload=cpu-8b-b2", "--json", "--output=tiny.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first word is followed by the search, which takes far longer than this test waits.
    let mut first = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut first).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    assert!(
        Command::new("kill").args(["-INT", "--", &format!("-{}", child.id())]).status().unwrap().success()
    );
    let finished = Finished::of(child.wait_with_output().unwrap());
    assert_eq!(finished.code, Some(130), "{first}{finished:?}");
    let report = json(&finished);
    assert_eq!(
        (&report["interrupted"], &report["results"][0]["ending"]),
        (&true.into(), &"interrupted".into())
    );
    let read = profile::read(&folder.path().join("tiny.toml")).unwrap();
    assert_eq!((read.profile.entries.len(), read.warnings), (2, Vec::new()));
    let kept = read.profile.entries[1].measurement.as_ref().unwrap().median_us;
    assert_same_nanoseconds(kept, &report["results"][0]["us"]);
}
