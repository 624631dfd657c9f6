//! Bad input gives one clear sentence and an exit code.

use std::{fs, io::Write as _, path::Path};

use crate::common::run;
use dustin::profile::{self, DeviceId, Profile, Provenance};
use flate2::{Compression, write::GzEncoder};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A profile without entries, of a GPU that no machine has.
fn foreign(path: &Path) {
    let provenance = Provenance {
        sm_count: Some(7),
        crate_version: "0.1.0".into(),
        date: "2026-01-01T00:00:00Z".into(),
        ..Provenance::unknown(DeviceId::gpu("NVIDIA Imaginary", 9, 0))
    };
    profile::write(path, &Profile::new(provenance)).expect("it can be written");
}

#[test]
fn impossible_requests_are_usage_errors() {
    let folder = folder();
    for (arguments, words) in [
        (&["tune", "--workload", "w9"][..], &["w9", "--list-workloads"][..]),
        (&["tune", "--model", "GPT-5"], &["GPT-5", "Qwen2.5-72B"]),
        (&["tune", "--model", "Qwen2.5-72B", "--tp", "3"], &["3 ranks"]),
        (&["tune", "--model", "Qwen2.5-72B", "--page-size", "24"], &["page_size", "power of two", "24"]),
        (&["tune", "--model", "Qwen2.5-72B", "--gamma", "64"], &["--gamma", "0..=63", "64"]),
        (&["tune", "--model", "Qwen2.5-72B", "--batch", "0"], &["--batch", "1..=65535"]),
        (&["plan", "--model", "Qwen2.5-72B", "--tp", "0"], &["--tp"]),
        (&["plan", "--model", "Qwen2.5-72B", "--context", "0"], &["--context"]),
        (&["plan", "--model", "Qwen2.5-72B", "--budget-k", "0"], &["--budget-k"]),
        (&["plan", "--model", "Qwen2.5-72B", "--page-size", "0"], &["--page-size"]),
        (
            &[
                "plan",
                "--model",
                "Qwen2.5-72B",
                "--batch",
                "65535",
                "--context",
                "4000000000",
                "--page-size",
                "1",
            ],
            &["--batch", "--context", "pages"],
        ),
        (&["tune", "--model", "Qwen2.5-72B", "--context", "100", "--budget-k", "512"], &["512", "100"]),
        (&["tune", "--budget", "soon"], &["--budget", "90s"]),
        (&["tune", "--batch", "4"], &["--model"]),
        (&["tune", "--model", "Qwen2.5-72B", "--batch", "4,0"], &["--batch", "1..=65535"]),
        (&["tune", "--model", "Qwen2.5-72B", "--full", "--budget-k", "512"], &["--full", "--budget-k"]),
        (&["tune", "--full"], &["--model"]),
        (
            &["tune", "--device", "cpu", "--model", "Qwen2.5-72B", "--batch-invariant"],
            &["--batch-invariant", "own has no two", "1,4,16"],
        ),
        (
            &[
                "plan",
                "--device",
                "cpu",
                "--workload",
                "cpu-0.5b",
                "--workload",
                "cpu-select",
                "--batch-invariant",
            ],
            &["cpu-0.5b, cpu-select has no two"],
        ),
        (&["plan", "--tree"], &["--model"]),
        (&["tune", "--budget", "-5s"], &["--budget", "a positive time"]),
        (&["verify", "--tolerance", "-1"], &["--tolerance", "a percentage"]),
        (&["verify", "--tolerance=-3"], &["--tolerance"]),
        (&["tune", "--trials", "0"], &["--trials", "1.."]),
        (&["tune", "--gpus", "0,x"], &["--gpus", "`all`", "0,1"]),
        (&["tune", "--gpus", "all", "--gpu", "1"], &["--gpus", "--gpu"]),
        (&["tune", "--candidate-timeout", "0s"], &["--candidate-timeout", "a positive time"]),
        (&["replay"], &["FILE"]),
        (&["replay", "space.csv", "--trials", "0"], &["--trials", "1..="]),
        (&["replay", "space.csv", "--repetitions", "0"], &["--repetitions", "1..="]),
        (&["replay", "space.csv", "--method", "magic"], &["--method", "surrogate"]),
    ] {
        run(folder.path(), arguments).refuses(2, words);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_workload_larger_than_the_memory_is_refused_before_it_is_built() {
    let folder = folder();
    let shape = ["--model", "Qwen2.5-72B", "--batch", "4096", "--context", "131072", "-o", "huge.toml"];
    for command in ["plan", "tune"] {
        run(folder.path(), &[&[command, "--device", "cpu"], &shape[..]].concat())
            .refuses(1, &["--batch", "--context", "GB of memory"]);
    }
    assert!(!folder.path().join("huge.toml").exists());
}

#[test]
fn a_gpu_without_a_driver_names_the_way_out() {
    let folder = folder();
    for command in ["plan", "tune", "verify"] {
        run(folder.path(), &[command, "--device", "cuda"]).refuses(1, &["--device cpu"]);
    }
}

#[test]
fn files_that_are_no_profile_are_refused() {
    let folder = folder();
    for (name, content) in [
        ("empty.toml", &b""[..]),
        ("binary.toml", &[0xff, 0xfe, 0x00, 0x80]),
        ("foreign.toml", b"[package]\nname = \"x\"\n"),
        ("truncated.toml", b"format = \"dustin-profile\"\nschema_ver"),
        ("newer.toml", b"format = \"dustin-profile\"\nschema_version = 999\nentry_count = 0\n"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("it can be written");
        run(folder.path(), &["show", name]).refuses(1, &[name]);
        run(folder.path(), &["verify", name, "--device", "cpu"]).refuses(1, &[name]);
        for command in ["plan", "tune"] {
            run(folder.path(), &[command, "--device", "cpu", "--output", name])
                .refuses(1, &[name, "--output"]);
        }
        assert_eq!(fs::read(&path).expect("it is still there"), content, "{name} was changed");
    }
    run(folder.path(), &["show", "missing.toml"]).refuses(1, &["missing.toml"]);
    run(folder.path(), &["verify", "--device", "cpu"]).refuses(1, &["profiles/", "autotune tune"]);
    run(folder.path(), &["show", "."]).refuses(1, &[]);
    run(folder.path(), &["plan", "--device", "cpu", "-o", "."]).refuses(1, &["--output"]);
}

#[test]
fn files_that_are_no_recorded_space_are_refused() {
    let folder = folder();
    let zipped = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    };
    let whole = "param:x,param:y,sample_ms_0,sample_ms_1\n1,2,3.5,3.6\n2,2,3.1,3.2\n";
    let cut = zipped(whole);
    for (name, content, words) in [
        ("empty.csv", &b""[..], &["empty.csv", "it is empty", "param:NAME"][..]),
        ("blank.csv", b" \n\n", &["it is empty"]),
        ("empty.csv.gz", &zipped(""), &["empty.csv.gz", "it is empty"]),
        ("header.csv", b"param:x,sample_ms_0\n", &["none of its rows has a time"]),
        ("failed.csv", b"param:x,sample_ms_0\n1,\n2,\n", &["none of its rows has a time"]),
        ("binary.csv", &[0xff, 0xfe, 0x00, 0x80, b'\n', 0xff], &["binary.csv"]),
        ("foreign.csv", b"name,age\nAda,36\n", &["foreign.csv", "no column param:", "sample_ms_0"]),
        ("times.csv", b"param:x,time\n1,2\n", &["no column sample_ms_"]),
        ("profile.csv", b"format = \"dustin-profile\"\n", &["no column param:"]),
        ("cut.csv", &whole.as_bytes()[..whole.len() - 8], &["cut.csv, line 3", "3 cells", "4"]),
        ("cut.csv.gz", &cut[..cut.len() - 12], &["cut.csv.gz", "cut or damaged"]),
        ("short.csv.gz", &cut[..2], &["short.csv.gz", "cut or damaged"]),
        ("text.csv", b"param:x,sample_ms_0\n1,fast\n", &["line 2", "sample_ms_0", "fast", "milliseconds"]),
        ("negative.csv", b"param:x,sample_ms_0\n1,2\n2,-1\n", &["line 3", "-1", "positive"]),
        ("infinite.csv", b"param:x,sample_ms_0\n1,inf\n", &["line 2", "inf", "positive"]),
        ("bare.csv", b"param:x,sample_ms_0\n,1\n", &["line 2", "param:x has no value"]),
    ] {
        fs::write(folder.path().join(name), content).expect("it can be written");
        run(folder.path(), &["replay", name]).refuses(1, words);
        run(folder.path(), &["replay", name, "--json", "--quiet"]).refuses(1, words);
    }
    run(folder.path(), &["replay", "missing.csv"]).refuses(1, &["cannot read missing.csv"]);
    run(folder.path(), &["replay", "."]).refuses(1, &["cannot read ."]);
}

#[test]
fn a_profile_of_another_device_is_neither_verified_nor_added_to() {
    let folder = folder();
    let path = folder.path().join("other.toml");
    foreign(&path);
    let before = fs::read(&path).expect("it was written");
    let words = ["other.toml", "NVIDIA Imaginary"];
    run(folder.path(), &["verify", "other.toml", "--device", "cpu"]).refuses(1, &words);
    run(folder.path(), &["tune", "other.toml"]).refuses(2, &["other.toml"]);
    for command in ["plan", "tune"] {
        run(folder.path(), &[command, "--device", "cpu", "-o", "other.toml"]).refuses(1, &words);
    }
    assert_eq!(fs::read(&path).expect("it is still there"), before);
}

#[test]
fn a_folder_that_cannot_be_written_is_found_before_anything_is_measured() {
    let folder = folder();
    fs::write(folder.path().join("file"), "not a folder").expect("it can be written");
    for command in ["plan", "tune"] {
        let output = [command, "--device", "cpu", "--output", "file/profile.toml"];
        run(folder.path(), &output).refuses(1, &["cannot make the folder file", "--output"]);
    }
}
