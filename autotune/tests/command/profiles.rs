//! What is said of profiles without a device: `diff`, `merge`, `gpus`, completions and manual pages.

use std::{fs, path::Path};

use dustin::profile::{
    self, Choice, DeviceId, Entry, Key, Launch, LayerHeads, Measurement, Policy, Profile, Provenance,
    Recovery, Selection, Timed,
};
use dustin_autotune::workload;

use crate::common::{Finished, json, run};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::gpu(name, 9, 0)
}

/// An entry for the built-in `workload`, with a narrow interval around `us`.
fn entry(device: &DeviceId, workload: &str, variant: &str, us: f64) -> Entry {
    let problem = workload::named(workload).unwrap().problem;
    let key = Key::of(&problem, device, Policy::default());
    let launch = Launch { splits: Some(1), ..Launch::default() };
    let choice = Choice { variant: variant.into(), revision: 1, ptx_digest: None, launch: launch.clone() };
    let measurement = Measurement {
        repetitions: 15,
        median_us: us,
        ci95_low_us: us - 0.01,
        ci95_high_us: us + 0.01,
        roofline_fraction: Some(0.5),
        default: Timed { variant: "default".into(), launch, median_us: us + 1.0 },
        tied: Vec::new(),
    };
    Entry::measured(key, choice, measurement)
}

/// Writes a profile of `device` with these entries.
fn write(path: &Path, device: &DeviceId, date: &str, entries: &[Entry]) {
    let provenance = Provenance {
        driver: Some("580.1".into()),
        date: format!("2026-01-{date}T00:00:00Z"),
        ..Provenance::unknown(device.clone())
    };
    let profile = Profile { entries: entries.to_vec(), ..Profile::new(provenance) };
    profile::write(path, &profile).unwrap();
}

/// Of two profiles, A and B, whose entries differ in every way.
fn two(folder: &Path) {
    let gpu = device("NVIDIA Imaginary");
    let of = |workload, variant, us| entry(&gpu, workload, variant, us);
    let a = [
        of("w1", "old", 10.0),
        of("w1-b1", "same", 10.0),
        of("w1-b4", "same", 10.0),
        of("w1-tp4", "gone", 5.0),
    ];
    let b = [
        of("w1", "new", 8.0),
        of("w1-b1", "same", 10.1),
        of("w1-b4", "same", 11.0),
        of("w1-tp8", "come", 4.0),
    ];
    write(&folder.join("a.toml"), &gpu, "01", &a);
    write(&folder.join("b.toml"), &gpu, "02", &b);
}

fn diff(folder: &Path, more: &[&str]) -> Finished {
    run(folder, &[&["diff", "a.toml", "b.toml"], more].concat())
}

#[test]
fn a_profile_is_the_same_as_itself() {
    let folder = folder();
    two(folder.path());
    let same = run(folder.path(), &["diff", "a.toml", "a.toml"]);
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), "the same: 4 buckets\n"));
    let quiet = run(folder.path(), &["diff", "a.toml", "a.toml", "--quiet"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn buckets_choices_and_times_beyond_the_tie_band_differ_and_others_do_not() {
    let folder = folder();
    two(folder.path());
    let found = diff(folder.path(), &["--json"]);
    assert_eq!(found.code, Some(3), "{found:?}");
    let report = json(&found);
    assert_eq!((&report["same"], &report["unchanged"]), (&false.into(), &1.into()));
    let changes: Vec<&str> =
        report["entries"].as_array().unwrap().iter().map(|line| line["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["choice", "time", "only_in_a", "only_in_b"]);
    let time = &report["entries"][1];
    assert_eq!((&time["a"]["us"], &time["b"]["us"]), (&10.0.into(), &11.0.into()));
    assert!((time["ratio"].as_f64().unwrap() - 1.1).abs() < 1e-9, "{time}");
    let told = diff(folder.path(), &[]);
    for word in ["only in A", "only in B", "old, 1 split", "1 buckets are the same"] {
        assert!(told.stdout.contains(word), "{word}: {told:?}");
    }
}

#[test]
fn policies_provenances_and_edits_differ() {
    let folder = folder();
    let gpu = device("NVIDIA Imaginary");
    let w1 = entry(&gpu, "w1", "same", 10.0);
    write(&folder.path().join("a.toml"), &gpu, "01", std::slice::from_ref(&w1));
    let warm = Policy { l2: profile::CacheState::Warm, ..w1.key.policy };
    let key = Key { policy: warm, ..w1.key.clone() };
    let warm = Entry::measured(key, w1.choice.clone(), w1.measurement.clone().unwrap());
    write(&folder.path().join("b.toml"), &gpu, "02", &[warm]);
    let lines = json(&diff(folder.path(), &["--json"]))["entries"].clone();
    assert_eq!((lines.as_array().unwrap().len(), &lines[0]["change"]), (1, &"policy".into()), "{lines}");

    let text = fs::read_to_string(folder.path().join("a.toml")).unwrap();
    fs::write(folder.path().join("b.toml"), text.replace("580.1", "590.2")).unwrap();
    let report = json(&diff(folder.path(), &["--json"]));
    assert_eq!(report["provenance"][0]["field"], "driver", "{report}");
    assert_eq!((&report["same"], &report["unchanged"]), (&false.into(), &1.into()));

    fs::write(folder.path().join("b.toml"), text.replace("median_us = 10.0", "median_us = 10.001")).unwrap();
    let report = json(&diff(folder.path(), &["--json"]));
    assert_eq!(report["entries"][0]["change"], "edited", "{report}");
}

#[test]
fn of_a_profile_that_was_cut_nobody_says_that_it_is_the_same() {
    let folder = folder();
    two(folder.path());
    let text = fs::read_to_string(folder.path().join("a.toml")).unwrap();
    fs::write(folder.path().join("b.toml"), text.replace("entry_count = 4", "entry_count = 5")).unwrap();
    let found = diff(folder.path(), &["--json"]);
    assert_eq!((found.code, &json(&found)["same"]), (Some(3), &false.into()));
    assert!(json(&found)["warnings"][0].as_str().unwrap().contains("announces 5 entries"));
}

#[test]
fn merged_profiles_have_the_buckets_of_both_and_the_faster_of_two_choices() {
    let folder = folder();
    two(folder.path());
    let merged = run(folder.path(), &["merge", "b.toml", "a.toml", "-o", "sub/c.toml", "--json"]);
    assert_eq!(merged.code, Some(0), "{merged:?}");
    let report = &json(&merged)["profiles"][0];
    assert_eq!(report["entries"], 5, "{report}");
    let conflicts = report["conflicts"].as_array().unwrap();
    assert_eq!(conflicts.len(), 1, "{report}");
    assert_eq!(
        (&conflicts[0]["reason"], &conflicts[0]["kept"]["profile"]),
        (&"faster".into(), &"b.toml".into())
    );
    let read = profile::read(&folder.path().join("sub/c.toml")).unwrap();
    assert!(read.warnings.is_empty() && read.profile.entries.iter().all(|entry| !entry.is_manual()));
    let us: Vec<f64> =
        read.profile.entries.iter().map(|entry| entry.measurement.as_ref().unwrap().median_us).collect();
    // Equal times of W1 with one sequence are those of the newer profile.
    assert_eq!(us, [8.0, 10.1, 10.0, 4.0, 5.0]);
    assert_eq!(read.profile.provenance.date, "2026-01-02T00:00:00Z");
}

#[test]
fn a_profile_is_merged_into_one_of_them_and_a_hand_edit_gives_way() {
    let folder = folder();
    two(folder.path());
    let text = fs::read_to_string(folder.path().join("b.toml")).unwrap();
    fs::write(folder.path().join("b.toml"), text.replace("variant = \"new\"", "variant = \"mine\"")).unwrap();
    let merged = run(folder.path(), &["merge", "a.toml", "b.toml", "--output", "a.toml", "--json"]);
    assert_eq!(merged.code, Some(0), "{merged:?}");
    let conflict = &json(&merged)["profiles"][0]["conflicts"][0];
    assert_eq!(
        (&conflict["reason"], &conflict["dropped"]["chosen"]),
        (&"measured".into(), &"mine, 1 split".into())
    );
    let entries = profile::read(&folder.path().join("a.toml")).unwrap().profile.entries;
    assert_eq!((entries.len(), entries[0].choice.variant.as_str()), (5, "old"));
}

#[test]
fn what_cannot_be_read_is_merged_as_it_stands() {
    let folder = folder();
    two(folder.path());
    let text = fs::read_to_string(folder.path().join("b.toml")).unwrap();
    fs::write(folder.path().join("b.toml"), text.replace("variant = \"new\"", "vairant = \"new\"")).unwrap();
    for _ in 0..2 {
        let merged = run(folder.path(), &["merge", "a.toml", "b.toml", "--output", "b.toml"]);
        assert_eq!(merged.code, Some(0), "{merged:?}");
        let text = fs::read_to_string(folder.path().join("b.toml")).unwrap();
        assert_eq!(text.matches("vairant = \"new\"").count(), 1, "{text}");
        let read = profile::read(&folder.path().join("b.toml")).unwrap();
        assert_eq!((read.profile.entries.len(), read.warnings.len()), (5, 1), "{:?}", read.warnings);
    }
}

#[test]
fn under_other_circumstances_the_newer_entry_wins_whatever_its_time() {
    let folder = folder();
    two(folder.path());
    let text = fs::read_to_string(folder.path().join("a.toml")).unwrap();
    let text = text.replace("580.1", "590.2").replace("2026-01-01", "2026-01-03");
    fs::write(folder.path().join("a.toml"), text).unwrap();
    let merged = run(folder.path(), &["merge", "a.toml", "b.toml", "-o", "c.toml", "--json"]);
    let report = &json(&merged)["profiles"][0];
    assert_eq!((&report["conflicts"][0]["reason"], &report["entries"]), (&"newer".into(), &5.into()));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("provenance.driver") && warnings.contains("autotune verify"), "{warnings}");
    let first = profile::read(&folder.path().join("c.toml")).unwrap().profile.entries[0].clone();
    assert_eq!(first.choice.variant, "old");
}

#[test]
fn head_selections_of_a_pair_of_models_are_compared_and_the_newer_profile_s_is_kept() {
    let folder = folder();
    two(folder.path());
    let selection = |draft: &str, k| Selection {
        target_model: "Qwen2.5-72B".into(),
        draft_model: draft.into(),
        target_heads: vec![LayerHeads { layer: 3, heads: vec![1, 5] }],
        draft_heads: Vec::new(),
        k,
        m: 0,
        sinks: 4,
        recent: 8,
        pooling: 1,
        recovery: Some(Recovery { mean: 0.9, ci95_low: 0.89 }),
        calibration_digest: Some("00".repeat(32)),
        provenance: None,
    };
    for (file, selections) in [
        ("a.toml", vec![selection("0.5B", 512)]),
        ("b.toml", vec![selection("0.5B", 256), selection("1.5B", 128)]),
    ] {
        let path = folder.path().join(file);
        let profile = Profile { selections, ..profile::read(&path).unwrap().profile };
        profile::write(&path, &profile).unwrap();
    }
    let changes = json(&diff(folder.path(), &["--json"]))["selections"].clone();
    assert_eq!(
        (&changes[0]["change"], &changes[1]["change"]),
        (&"choice".into(), &"only_in_b".into()),
        "{changes}"
    );

    let merged = run(folder.path(), &["merge", "b.toml", "a.toml", "-o", "c.toml", "--json"]);
    let conflicts = json(&merged)["profiles"][0]["conflicts"].clone();
    assert_eq!(
        (&conflicts[1]["kept"]["chosen"], &conflicts[1]["reason"]),
        (&"k 256, m 0".into(), &"newer".into())
    );
    let kept = profile::read(&folder.path().join("c.toml")).unwrap().profile.selections;
    assert_eq!(kept, [selection("0.5B", 256), selection("1.5B", 128)]);
}

#[test]
fn profiles_of_different_gpus_live_side_by_side_in_a_folder() {
    let folder = folder();
    for (file, name) in [("a.toml", "NVIDIA One"), ("b.toml", "NVIDIA Two"), ("c.toml", "NVIDIA One")] {
        let gpu = device(name);
        write(&folder.path().join(file), &gpu, "01", &[entry(&gpu, "w1", "any", 10.0)]);
    }
    let files = ["merge", "a.toml", "b.toml", "c.toml", "--output"];
    run(folder.path(), &[&files[..], &["d.toml"]].concat())
        .refuses(2, &["NVIDIA One", "NVIDIA Two", "side by side", "--output"]);
    assert!(!folder.path().join("d.toml").exists());
    let merged = run(folder.path(), &[&files[..], &["both/"]].concat());
    assert_eq!(merged.code, Some(0), "{merged:?}");
    for name in ["nvidia-one", "nvidia-two"] {
        let read = profile::read(&folder.path().join(format!("both/{name}.toml"))).unwrap();
        assert_eq!(read.profile.entries.len(), 1);
    }
}

#[test]
fn a_profile_that_is_not_merged_is_not_written_over() {
    let folder = folder();
    two(folder.path());
    let other = device("NVIDIA Imaginary");
    write(&folder.path().join("c.toml"), &other, "01", &[]);
    let before = fs::read(folder.path().join("c.toml")).unwrap();
    let words = ["c.toml exists", "--output"];
    run(folder.path(), &["merge", "a.toml", "b.toml", "-o", "c.toml"]).refuses(1, &words);
    assert_eq!(fs::read(folder.path().join("c.toml")).unwrap(), before);
}

#[test]
fn what_is_no_profile_is_neither_compared_nor_merged() {
    let folder = folder();
    two(folder.path());
    fs::write(folder.path().join("bad.toml"), "[package]\n").unwrap();
    run(folder.path(), &["diff", "a.toml", "bad.toml"]).refuses(1, &["bad.toml"]);
    run(folder.path(), &["diff", "missing.toml", "a.toml"]).refuses(1, &["missing.toml"]);
    run(folder.path(), &["merge", "a.toml", "bad.toml", "-o", "c.toml"]).refuses(1, &["bad.toml"]);
    run(folder.path(), &["diff", "a.toml"]).refuses(2, &["B"]);
    run(folder.path(), &["merge", "a.toml", "-o", "c.toml"]).refuses(2, &["2"]);
    run(folder.path(), &["merge", "a.toml", "b.toml"]).refuses(2, &["--output"]);
    run(folder.path(), &["merge", "a.toml", "b.toml", "-o", "a.toml/c.toml"]).refuses(1, &["--output"]);
    assert!(!folder.path().join("c.toml").exists());
}

#[test]
fn without_a_gpu_the_cpu_backend_and_its_profile_are_told() {
    let folder = folder();
    let told = run(folder.path(), &["gpus"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for word in ["no GPU to use", "CPU backend", "none yet; `autotune tune` writes profiles/"] {
        assert!(told.stdout.contains(word), "{word}: {told:?}");
    }
    let report = json(&run(folder.path(), &["gpus", "--json"]));
    assert_eq!(
        (&report["gpus"], &report["cpu"]["entries"]),
        (&serde_json::json!([]), &serde_json::Value::Null)
    );
    let path = folder.path().join(report["cpu"]["profile"].as_str().unwrap());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let cpu = DeviceId::cpu(report["cpu"]["name"].as_str().unwrap());
    write(&path, &cpu, "01", &[entry(&cpu, "cpu-select", "any", 10.0)]);
    let report = json(&run(folder.path(), &["gpus", "--json"]));
    assert_eq!(report["cpu"]["entries"], 1, "{report}");
    fs::write(&path, "nothing").unwrap();
    let told = run(folder.path(), &["gpus"]);
    assert!(told.code == Some(0) && told.stdout.contains("cannot be used"), "{told:?}");
    assert_eq!(run(folder.path(), &["gpus", "--quiet"]).stdout, "");
}

#[test]
fn every_shell_gets_its_completions() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(folder.path(), &["completions", shell]);
        assert!(script.code == Some(0) && script.stdout.contains("list-workloads"), "{shell}: {script:?}");
        assert!(!script.stdout.contains("worker"), "{shell} offers what is for the command itself");
    }
    run(folder.path(), &["completions", "tcsh"]).refuses(2, &["tcsh", "bash"]);
}

#[test]
fn a_manual_page_is_printed_and_one_for_each_command_is_written() {
    let folder = folder();
    let page = run(folder.path(), &["man"]);
    assert!(page.code == Some(0) && page.stdout.contains(".TH autotune"), "{page:?}");
    let written = run(folder.path(), &["man", "--output", "pages"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{written:?}");
    for command in ["autotune", "autotune-tune", "autotune-diff", "autotune-merge"] {
        let page = fs::read_to_string(folder.path().join(format!("pages/{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
    assert!(!folder.path().join("pages/autotune-worker.1").exists());
    fs::write(folder.path().join("file"), "").unwrap();
    run(folder.path(), &["man", "--output", "file/pages"]).refuses(1, &["file/pages", "--output"]);
}

#[test]
fn quiet_and_json_mean_the_same_for_every_command() {
    let folder = folder();
    two(folder.path());
    for arguments in [
        &["show", "a.toml"][..],
        &["diff", "a.toml", "a.toml"],
        &["merge", "a.toml", "b.toml", "-o", "a.toml"],
        &["gpus"],
        &["plan", "--device=cpu", "--workload=cpu-select"],
        &["plan", "--list-workloads"],
    ] {
        let with = |flags: &[&str]| run(folder.path(), &[arguments, flags].concat());
        let quiet = with(&["--quiet"]);
        assert_eq!(
            (quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()),
            (Some(0), "", ""),
            "{arguments:?}"
        );
        let both = with(&["--quiet", "--json"]);
        assert!(json(&both).is_object() || json(&both).is_array());
        assert_eq!(both.stderr, "", "{arguments:?}");
    }
}
