//! One schedule for every batch, end to end, on the CPU.

use std::fs;

use dustin::{
    cpu::CpuBackend,
    profile::{self, CpuCatalogue, Key, Source, Tuned},
};
use dustin_autotune::workload::{AttentionShape, Shape, Workload, named};

use crate::common::{TINY, assert_same_nanoseconds, json, run};

/// Attention of the sort tuned here for `batch` sequences, whose choice must not depend on their number.
fn invariant(batch: u32) -> Workload {
    let Shape::Attention(mut shape) = named("cpu-0.5b").unwrap().shape else { panic!("of attention") };
    (shape.cache.batch, shape.cache.context, shape.cache.page_size, shape.k) = (batch, 100, 4, Some(32));
    Workload::new("any".into(), AttentionShape { batch_invariant: true, ..shape }).unwrap()
}

#[test]
fn one_schedule_for_every_batch_is_planned_chosen_kept_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let own = ["--device=cpu", "--model=Qwen2.5-0.5B", "--context=100", "--page-size=4", "--budget-k=32"];
    let asked = ["--batch=1,2,4", "--batch-invariant", "--trials=9", "--json", "-o=tiny.toml"];
    let with = |command: &'static str| [&[command], &own[..], &asked].concat();
    let plan = json(&run(folder.path(), &with("plan")));
    assert!(plan["tasks"][3]["bucket"].as_str().unwrap().contains("every batch"), "{plan}");
    assert!(plan["tasks"][3]["seconds"].as_f64().unwrap() > 0.0, "{plan}");

    let tuned = run(folder.path(), &with("tune"));
    assert_eq!(tuned.code, Some(0), "{tuned:?}");
    let report = json(&tuned);
    let choice = &report["every_batch"][0];
    assert_eq!(choice["workload"], "own-b1+own-b2+own-b4");
    let batches = choice["batches"].as_array().unwrap();
    assert_eq!(batches.len(), 3);
    for batch in batches {
        let [us, best_us, ratio] = ["us", "best_us", "ratio"].map(|field| batch[field].as_f64().unwrap());
        assert!(ratio >= 1.0 && (us / best_us - ratio).abs() < 0.01, "{batch}");
    }

    let profile = profile::read(&folder.path().join("tiny.toml")).unwrap().profile;
    assert_eq!(profile.entries.len(), 4);
    let entry = &profile.entries[3];
    let found = entry.measurement.as_ref().unwrap();
    assert_same_nanoseconds(found.median_us, &choice["us"]);
    assert_same_nanoseconds(found.default.median_us, &choice["default_us"]);
    // Whatever the batch, a problem that must not depend on it finds this entry.
    let Key { device, policy, .. } = entry.key.clone();
    let limits = CpuBackend::new(0).unwrap().limits();
    let tuned = Tuned::new(profile.entries.clone(), CpuCatalogue { limits });
    for batch in [1, 3, 500] {
        let found = tuned.find(&Key::of(&invariant(batch).problem, &device, policy)).unwrap();
        assert_eq!((found.source, &*found.choice), (Source::Exact, &entry.choice), "batch {batch}");
    }

    let shown = run(folder.path(), &["show", "tiny.toml"]);
    assert!(shown.stdout.contains("every batch x 128, 5 rows"), "{shown:?}");
    let verified = run(folder.path(), &["verify", "tiny.toml", "--device=cpu", "--tolerance=2000"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(verified.stdout.matches("holds").count(), 4, "{verified:?}");
}

#[test]
fn what_every_batch_costs_is_a_table_and_nothing_where_it_was_not_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let own =
        ["tune", "--device=cpu", "--model=Qwen2.5-0.5B", "--context=100", "--budget-k=32", "--trials=3"];
    let with = |more: &[&'static str]| run(folder.path(), &[&own[..], &["-o=tiny.toml"], more].concat());
    let tuned = with(&["--batch=1,2", "--batch-invariant"]);
    assert_eq!(tuned.code, Some(0), "{tuned:?}");
    for word in ["chosen for every batch", "best for this one", "slower by"] {
        assert!(tuned.stdout.contains(word), "{word}: {tuned:?}");
    }
    assert_eq!(json(&with(&["--batch=1,2", "--json"])).get("every_batch"), None);
}

#[test]
fn a_budget_ends_the_choice_for_every_batch_and_keeps_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let asked =
        ["tune", "--device=cpu", "--model=Qwen2.5-0.5B", "--context=100", "--budget-k=32", "--batch=1,2"];
    let arguments = [&asked[..], &["-o=tiny.toml", "--batch-invariant", "--budget=1ms", "--json"]].concat();
    let tuned = run(folder.path(), &arguments);
    assert_eq!(tuned.code, Some(0), "{tuned:?}");
    let choice = &json(&tuned)["every_batch"][0];
    assert_eq!(choice["chosen"], choice["default"], "{choice}");
}

#[cfg(target_os = "linux")]
#[test]
fn one_batch_that_could_be_tuned_alone_is_kept_and_gives_no_choice_for_every_batch() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["tune", "--device=cpu", "--model=Qwen2.5-0.5B", "--budget-k=32", "--batch=1,60000"];
    let tuned =
        run(folder.path(), &[&asked[..], &["-o=tiny.toml", "--batch-invariant", "--trials=1"]].concat());
    assert_eq!(tuned.code, Some(1), "{tuned:?}");
    for word in ["GB of memory", "own-b1+own-b60000: fewer than two of its batches", "2 of 3 workloads"] {
        assert!(tuned.stderr.contains(word), "{word}: {tuned:?}");
    }
    assert_eq!(profile::read(&folder.path().join("tiny.toml")).unwrap().profile.entries.len(), 1);
}

#[test]
fn a_finished_choice_for_every_batch_is_resumed_without_measuring() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["--batch=1,2", "--batch-invariant", "--trials=5", "--json"];
    let tune = |more: &[&'static str]| {
        let tuned = run(folder.path(), &[&["tune"], &TINY[..], &asked, more].concat());
        assert_eq!(tuned.code, Some(0), "{tuned:?}");
        let journal = fs::read_to_string(folder.path().join("tiny.cpu.journal")).unwrap();
        let measured = ["started", "checked", "timed"].map(|kind| journal.matches(kind).count());
        let purposes = journal.matches("every_batch").count();
        (json(&tuned), measured, purposes)
    };
    let first = tune(&[]);
    // Both batches once more, and the one that stands for all.
    assert_eq!(first.2, 3);
    assert_eq!(tune(&["--resume"]), first);
}
