//! What serves a workload, and why.

use std::path::Path;

use dustin::{
    limits::DeviceLimits,
    profile::{
        self, Catalogue as _, DeviceId, Entry, GpuCatalogue, Key, Measurement, Policy, Profile, Provenance,
        Timed,
    },
};
use dustin_autotune::workload;
use serde_json::Value;

use crate::common::{json, run};

fn limits(major: u32, minor: u32) -> DeviceLimits {
    DeviceLimits { major, minor, sm_count: 132, shared_bytes_per_block: 232_448, threads_per_block: 1024 }
}

fn gpu(name: &str, major: u32, minor: u32) -> Provenance {
    let date = "2026-01-01T00:00:00Z".into();
    let device = DeviceId::gpu(name, major, minor);
    Provenance { sm_count: Some(132), date, ..Provenance::unknown(device) }
}

/// A profile with the default's own choice for each of `workloads`.
fn write(path: &Path, provenance: Provenance, workloads: &[&str]) {
    let entries = workloads.iter().map(|name| {
        let key = Key::of(&workload::named(name).unwrap().problem, &provenance.device, Policy::default());
        let choice = GpuCatalogue { limits: limits(9, 0) }.default(&key).unwrap();
        let default =
            Timed { variant: choice.variant.clone(), launch: choice.launch.clone(), median_us: 12.5 };
        let measurement = Measurement {
            repetitions: 15,
            median_us: 10.0,
            ci95_low_us: 9.9,
            ci95_high_us: 10.1,
            roofline_fraction: Some(0.59),
            tied: vec![default.clone()],
            default,
        };
        Entry::measured(key, choice, measurement)
    });
    let profile = Profile { entries: entries.collect(), ..Profile::new(provenance.clone()) };
    profile::write(path, &profile).unwrap();
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("one.toml"), gpu("NVIDIA One", 9, 0), &["w1"]);
    folder
}

fn explain(folder: &Path, arguments: &[&str]) -> Value {
    let told = run(folder, &[&["explain", "--json"], arguments].concat());
    assert_eq!(told.code, Some(0), "{told:?}");
    json(&told)["workloads"][0].clone()
}

#[test]
fn a_tuned_bucket_is_served_by_its_own_entry_with_what_is_on_record() {
    let folder = folder();
    let told = explain(folder.path(), &["--profile", "one.toml", "--workload", "w1"]);
    let answer = &told["answer"];
    assert_eq!((&answer["source"], &answer["profile"]), (&"exact".into(), &"one.toml".into()));
    assert_eq!(
        (&answer["measurement"]["median_us"], &answer["misses"]),
        (&10.0.into(), &Value::Array(vec![]))
    );
    assert_eq!(answer["chosen"], told["default"]["chosen"]);
    let text = run(folder.path(), &["explain", "-p", "one.toml", "--workload", "w1"]).stdout;
    for words in [
        "NVIDIA One, as its profile describes it",
        "the entry of this bucket",
        "10.00 µs",
        "roofline 59 %",
        "1.25x",
        "tied with",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_bucket_without_an_entry_is_served_by_a_near_one_and_the_difference_is_named() {
    let folder = folder();
    let asked = ["-p", "one.toml", "--model=Qwen2.5-72B", "--page-size=32"];
    let answer = explain(folder.path(), &asked)["answer"].clone();
    assert_eq!(answer["source"], "near", "{answer}");
    let differs = answer["differs"].as_array().unwrap();
    assert_eq!(differs.len(), 1, "{answer}");
    let field = &differs[0];
    assert_eq!([&field["field"], &field["asked"], &field["entry"]], ["page_size", "32", "16"]);
    assert!(answer["misses"][0].as_str().unwrap().contains("no entry for this bucket"), "{answer}");
    assert_eq!(answer["distance"].as_f64(), Some(0.5), "{answer}");
}

#[test]
fn without_a_near_entry_the_default_serves_and_the_reasons_are_told() {
    let folder = folder();
    let told = explain(folder.path(), &["-p", "one.toml", "--workload", "w1-full"]);
    assert_eq!(told["answer"]["source"], "default", "{told}");
    assert_eq!(told["answer"]["chosen"], told["default"]["chosen"]);

    let path = folder.path().join("one.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("revision = ", "revision = 9")).unwrap();
    let told = explain(folder.path(), &["-p", "one.toml", "--workload", "w1"]);
    assert_eq!(told["answer"]["source"], "default", "{told}");
    assert!(told["answer"]["misses"][0].as_str().unwrap().contains("revision"), "{told}");
}

#[test]
fn another_gpu_of_the_same_compute_capability_serves_and_is_named() {
    let folder = folder();
    write(&folder.path().join("two.toml"), gpu("NVIDIA Two", 9, 0), &[]);
    let answer =
        explain(folder.path(), &["-p", "two.toml", "-p", "one.toml", "--workload", "w1"])["answer"].clone();
    assert_eq!((&answer["source"], &answer["profile"]), (&"other_gpu".into(), &"one.toml".into()));
    assert_eq!(answer["differs"][0]["field"], "device", "{answer}");
}

#[test]
fn every_point_that_is_left_out_is_counted_under_its_limit() {
    let folder = folder();
    let count = |profile: &str| {
        let space = explain(folder.path(), &["-p", profile, "--workload", "w1"])["space"].clone();
        let excluded = space["excluded"].as_array().unwrap();
        let of = |bound: &str| -> u64 {
            let found = excluded.iter().filter(|one| one["bound"] == bound);
            found.map(|one| one["points"].as_u64().unwrap()).sum()
        };
        for one in excluded {
            let reasons = one["reasons"].as_array().unwrap();
            let sum: u64 = reasons.iter().map(|reason| reason[1].as_u64().unwrap()).sum();
            assert_eq!(Some(sum), one["points"].as_u64(), "{one}");
        }
        (space["points"].as_u64().unwrap(), of("shared memory"), of("compute capability"))
    };
    let (points, _, capability) = count("one.toml");
    assert!(points > 200 && capability == 0);
    // Less shared memory, and none of the instructions of compute capability 9.0.
    write(&folder.path().join("small.toml"), gpu("NVIDIA Small", 8, 6), &[]);
    let (fewer, shared, capability) = count("small.toml");
    assert!(fewer < points && shared > 0 && capability > 0, "{fewer} {shared} {capability}");
}

#[test]
fn without_a_profile_the_device_at_hand_has_its_defaults() {
    let folder = folder();
    let own = ["--device=cpu", "--model=Qwen2.5-0.5B", "--batch=2", "--context=100", "--budget-k=32"];
    let told = explain(folder.path(), &own);
    assert_eq!((&told["workload"], &told["answer"]["source"]), (&"own".into(), &"default".into()));
    assert!(told["space"]["parameters"]["threads"].is_array() || told["space"]["points"].as_u64() > Some(0));
    let all = json(&run(folder.path(), &["explain", "--device=cpu", "--json"]));
    assert_eq!(all["workloads"].as_array().unwrap().len(), 7);
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let folder = folder();
    let nameless = Provenance { sm_count: None, ..gpu("NVIDIA Nameless", 9, 0) };
    write(&folder.path().join("nameless.toml"), nameless, &[]);
    write(&folder.path().join("future.toml"), gpu("NVIDIA Future", 99, 0), &[]);
    for (arguments, code, words) in [
        (&["-p", "nameless.toml"][..], 1, &["nameless.toml", "sm_count"][..]),
        (&["-p", "future.toml"], 1, &["future.toml", "99.0"]),
        (&["-p", "missing.toml"], 1, &["missing.toml"]),
        (&["--workload", "w9"], 2, &["w9", "--list-workloads"]),
        (&["--batch", "4"], 2, &["--model"]),
    ] {
        run(folder.path(), &[&["explain"], arguments].concat()).refuses(code, words);
    }
}
