//! From a capture to a verifier: heads are searched on the fixture, and its profile serves a step with nothing else said.

use std::{env, fs, path::Path};

use dustin::{
    cpu::{self, CpuBackend},
    profile::{self, CpuCatalogue, DeviceId, Profile, Provenance, Selection, Tuned},
    verifier::Rules,
};
use dustin_heads::{Capture, verify::verify_step};
use serde_json::Value;

use crate::common::{Finished, assert_same_nanoseconds, autotune, json, run};

/// The capture of a pair of small models whose target's head 2 of layer 1 copies needles.
pub(crate) const CAPTURE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/calibration.safetensors");

const PAIR: (&str, &str) = ("tiny-qwen2-target", "tiny-qwen2-draft");

/// Sets of 16 of some fifty tokens, by a step that takes microseconds.
pub(crate) const SMALL: [&str; 11] = [
    "--device=cpu",
    "--budget-k=16",
    "--sinks=1",
    "--recent=2",
    "--batch=2",
    "--context=200",
    "--evaluations=300",
    "-o",
    "p.toml",
    "--quiet",
    "--json",
];

/// Runs `heads` on the fixture with these arguments besides.
fn heads(folder: &Path, arguments: &[&str]) -> Finished {
    run(folder, &[&["heads", CAPTURE], &SMALL[..], arguments].concat())
}

fn selection(folder: &Path) -> Selection {
    let read = profile::read(&folder.join("p.toml")).unwrap();
    assert_eq!(read.warnings, []);
    let [selection] = &read.profile.selections[..] else { panic!("{:?}", read.profile.selections) };
    selection.clone()
}

#[test]
fn what_is_chosen_on_a_capture_serves_a_verifier_with_nothing_else_said() {
    let folder = tempfile::tempdir().unwrap();
    let told = heads(folder.path(), &["--share=0.9"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let record = json(&told);

    let selection = selection(folder.path());
    assert_eq!(selection.pair(), PAIR);
    assert_eq!((selection.k, selection.sinks, selection.recent), (16, 1, 2));
    let capture = Capture::open(Path::new(CAPTURE)).unwrap();
    assert_eq!(selection.calibration_digest, Some(capture.digest()));
    let recovery = selection.recovery.unwrap();
    assert!(
        0.2 < recovery.ci95_low && recovery.ci95_low <= recovery.mean && recovery.mean < 0.9,
        "{recovery:?}"
    );
    let provenance = selection.provenance.as_ref().unwrap();
    assert_eq!(provenance.target_ranking.as_deref(), Some("compresskv-srh"));
    let objective = provenance.objective.unwrap();
    assert_eq!((objective.share, objective.confidence), (0.9, 0.95));
    let cost = provenance.cost.as_ref().unwrap();
    assert_eq!((cost.device.clone(), cost.batch, cost.context), (DeviceId::cpu(cpu::name()), 2, 200));
    let held_out = provenance.held_out.unwrap();
    assert_eq!((held_out.prompts, held_out.gamma), (2, 4));
    assert!(held_out.share_low <= held_out.share, "{held_out:?}");

    // What was chosen is the cheapest of all that keep the share.
    let searched = &record["searched"];
    let us = |point: &Value| point["estimation_us"].as_f64().unwrap();
    let low = |point: &Value| point["share_low"].as_f64().unwrap();
    assert!(low(&searched["chosen"]) >= 0.9, "{searched}");
    assert_same_nanoseconds(cost.estimation_us, &searched["chosen"]["estimation_us"]);
    let front = searched["front"].as_array().unwrap();
    assert!(front.is_sorted_by(|a, b| us(a) < us(b) && low(a) < low(b)), "{searched}");
    assert!(front.iter().all(|point| low(point) < 0.9 || us(point) >= us(&searched["chosen"])), "{searched}");
    // Its cost is that of the launches.
    let launches = record["step"]["timings"].as_array().unwrap();
    assert!(!launches.is_empty() && launches.iter().all(|launch| launch["us"].as_f64().unwrap() > 0.0));

    let entries = profile::read(&folder.path().join("p.toml")).unwrap().profile;
    let rules = Rules::of_profile(&entries, PAIR.0, PAIR.1).unwrap();
    for prompt in [4, 5] {
        let backend = CpuBackend::new(1).unwrap();
        let tuned = Tuned::new(entries.entries.clone(), CpuCatalogue { limits: backend.limits() });
        let device = DeviceId::cpu(cpu::name());
        let step = verify_step(&capture, (prompt, 4), &rules, backend, (&tuned, &device)).unwrap();
        let set = step.set.unwrap();
        assert_eq!((set.len(), set[0]), (16, 0));
        assert_eq!(set[14..], [step.length.cast_signed() - 2, step.length.cast_signed() - 1]);
        assert!(step.output_errors.unwrap().iter().all(|&error| error > 0.0 && error < 2.0));
        if prompt == 4 {
            let shown: Vec<i32> =
                serde_json::from_value(record["held_out"]["example"]["positions"].clone()).unwrap();
            assert_eq!(shown, set);
        }
    }
}

#[test]
fn the_sets_of_the_choice_are_written_for_whoever_has_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let told = heads(folder.path(), &["--share=0.9", "--sets=sets.safetensors"]);
    let record = json(&told);
    let bytes = fs::read(folder.path().join("sets.safetensors")).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
    let metadata: Value =
        serde_json::from_str(header["__metadata__"]["dustin.sets"].as_str().unwrap()).unwrap();
    assert_eq!(metadata["digest"], record["calibration_digest"], "{metadata}");
    assert_eq!(metadata["prompts"], serde_json::json!([4, 5]));
    // The first set of the first of them is the one that is shown.
    let tensor = &header["prompts.4.positions"];
    let begin = end + tensor["data_offsets"][0].as_u64().unwrap() as usize;
    let positions: Vec<i32> =
        bytes[begin..begin + 16 * 4].chunks(4).map(|it| i32::from_le_bytes(it.try_into().unwrap())).collect();
    assert_eq!(serde_json::json!(positions), record["held_out"]["example"]["positions"]);
    heads(folder.path(), &["--share=0.9", "--sets=missing/sets.safetensors"])
        .refuses(1, &["missing/sets.safetensors"]);
    heads(folder.path(), &["--front", "--sets=sets.safetensors"]).refuses(2, &["--sets"]);
}

#[test]
fn held_out_figures_have_all_methods_by_layer_and_their_order_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let record = json(&heads(folder.path(), &["--share=0.9"]));
    let methods = record["held_out"]["methods"].as_array().unwrap();
    let rate = |name: &str| {
        let method = methods.iter().find(|method| method["name"] == name);
        method.unwrap_or_else(|| panic!("{name}: {record}"))["recovery"].as_f64().unwrap()
    };
    for name in ["chosen", "full heads", "SnapKV", "PyramidKV", "TOVA", "sinks and window"] {
        assert!(rate(name) <= record["held_out"]["ceiling"].as_f64().unwrap(), "{name}: {record}");
    }
    // The fixture has values.
    for method in methods {
        let [error, high] =
            ["output_error", "output_error_high"].map(|field| method[field].as_f64().unwrap());
        assert!(0.0 < error && error <= high && error < 2.0, "{method}");
    }
    // Nothing with one set for all layers beats the oracle.
    for name in ["chosen", "full heads", "sinks and window"] {
        assert!(rate(name) < rate("oracle"), "{name}: {record}");
    }
    assert!(rate("chosen") > rate("sinks and window"), "{record}");
    for method in methods {
        let by_layer: Vec<f64> = serde_json::from_value(method["by_layer"].clone()).unwrap();
        assert_eq!(by_layer.len(), 3, "{method}");
        let mean = by_layer.iter().sum::<f64>() / 3.0;
        assert!((mean - method["recovery"].as_f64().unwrap()).abs() < 1e-9, "{method}");
        assert!(method["share_low"].as_f64() <= method["share"].as_f64(), "{method}");
    }
}

#[test]
fn a_front_is_printed_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let told = heads(folder.path(), &["--front", "--start=ranking"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let record = json(&told);
    let front = record["searched"]["front"].as_array().unwrap();
    assert!(
        !front.is_empty() && record["searched"]["chosen"].is_null() && record["held_out"].is_null(),
        "{record}"
    );
    assert_eq!(record["searched"]["start_name"], "ranking");
    assert!(!folder.path().join("p.toml").exists() && !folder.path().join("p.heads.json").exists());
}

#[test]
fn a_share_that_nothing_keeps_is_told_with_the_best_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    heads(folder.path(), &["--share=9"]).refuses(1, &["9.0000", "the best keep", "--share", "--budget-k"]);
    assert!(!folder.path().join("p.toml").exists() && !folder.path().join("p.heads.json").exists());
}

#[cfg(unix)]
#[test]
fn what_was_found_until_ctrl_c_is_judged_and_kept() {
    use std::{
        io::{BufRead as _, BufReader, Read as _},
        process::{Command, Stdio},
    };

    let folder = tempfile::tempdir().unwrap();
    // A space that takes seconds, beginning with what keeps the share.
    let wide = [
        "--budget-k=8,10,12,14,16",
        "--sinks=1,2",
        "--recent=2,4",
        "--pooling=1,3,5,7",
        "--evaluations=1000000",
    ];
    let device = ["--device=cpu", "--batch=2", "--context=200", "--share=0.5", "-o", "p.toml"];
    let mut command = autotune(folder.path());
    command.args([&["heads", CAPTURE], &wide[..], &device[..]].concat());
    let mut running = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut told = BufReader::new(running.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    told.read_line(&mut line).unwrap();
    assert!(line.starts_with("reading 4 searched prompts") && line.contains("\nsearching"), "{line}");
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    told.read_to_string(&mut line).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130), "{line}");
    assert!(line.contains("what was found is kept"), "{line}");
    assert!(selection(folder.path()).is_calibrated());
}

#[test]
fn all_else_in_a_profile_is_kept_and_a_pair_has_one_selection() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = ["tune", "--device=cpu", "--workload=cpu-select", "--trials=2", "-o", "p.toml", "--quiet"];
    assert_eq!(run(folder.path(), &tuned).code, Some(0));
    let before = profile::read(&folder.path().join("p.toml")).unwrap().profile;
    let other = Selection { draft_model: "another".into(), provenance: None, ..imported() };
    let path = folder.path().join("p.toml");
    profile::write(&path, &Profile { selections: vec![other.clone()], ..before.clone() }).unwrap();
    for share in ["--share=0.85", "--share=0.9"] {
        assert_eq!(heads(folder.path(), &[share]).code, Some(0));
    }
    let after = profile::read(&path).unwrap().profile;
    assert_eq!((&after.entries, &after.provenance), (&before.entries, &before.provenance));
    assert_eq!((after.selections.len(), &after.selections[0]), (2, &other));
    assert_eq!(after.selections[1].provenance.as_ref().unwrap().objective.unwrap().share, 0.9);
    // So has the record beside it.
    let records: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("p.heads.json")).unwrap()).unwrap();
    assert_eq!(records["pairs"].as_array().unwrap().len(), 1);
}

/// A selection as an import makes it.
fn imported() -> Selection {
    Selection {
        target_model: "Llama-3.1-8B-Instruct".into(),
        draft_model: "none".into(),
        target_heads: vec![dustin::profile::LayerHeads { layer: 13, heads: vec![1, 2] }],
        draft_heads: Vec::new(),
        k: 512,
        m: 0,
        sinks: 4,
        recent: 32,
        pooling: 5,
        recovery: None,
        calibration_digest: None,
        provenance: None,
    }
}

#[test]
fn a_published_ranking_alone_gives_a_selection_that_says_it_is_not_calibrated() {
    let Some(data) = env::var_os("DUSTIN_TEST_DATA") else {
        eprintln!("skipped: DUSTIN_TEST_DATA names no data");
        return;
    };
    let ranking = Path::new(&data).join("srh/Llama-3.1-8B-Instruct_head_idx.json");
    let folder = tempfile::tempdir().unwrap();
    let provenance =
        Provenance { sm_count: Some(132), ..Provenance::unknown(DeviceId::gpu("NVIDIA Imaginary", 9, 0)) };
    profile::write(&folder.path().join("p.toml"), &Profile::new(provenance.clone())).unwrap();
    let ranking = ranking.to_str().unwrap();
    let import = ["heads", "--target-ranking", ranking, "--target-name=Llama-3.1-8B-Instruct"];
    let told = run(
        folder.path(),
        &[&import[..], &["--layers=13,17", "--heads=3", "-o", "p.toml", "--json"]].concat(),
    );
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(json(&told)["calibrated"], false);
    let selection = selection(folder.path());
    assert!(!selection.is_calibrated() && selection.validate().is_ok());
    let numbers: Vec<(u32, usize)> =
        selection.target_heads.iter().map(|own| (own.layer, own.heads.len())).collect();
    assert_eq!(numbers, [(13, 3), (17, 3)]);
    assert_eq!((selection.k, selection.m, selection.recent, selection.pooling), (512, 0, 32, 5));
    let name = selection.provenance.unwrap().target_ranking;
    assert_eq!(name.as_deref(), Some("Llama-3.1-8B-Instruct_head_idx.json"));
    let read = profile::read(&folder.path().join("p.toml")).unwrap().profile;
    assert_eq!(read.provenance, provenance, "no device was asked");
    assert!(Rules::of_profile(&read, "Llama-3.1-8B-Instruct", "none").is_some());
    let shown = run(folder.path(), &["show", "p.toml"]);
    assert!(shown.stdout.contains("uncalibrated"), "{shown:?}");
    assert_eq!(run(folder.path(), &["report", "p.toml"]).code, Some(0));
    assert!(fs::read_to_string(folder.path().join("p.html")).unwrap().contains("uncalibrated"));
}

#[test]
fn a_ranking_of_one_s_own_seeds_the_search_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("heads.json"),
        r#"{"0": [3, 2, 1, 0], "1": [2, 0, 1, 3], "2": [0, 1, 2, 3]}"#,
    )
    .unwrap();
    let told = heads(folder.path(), &["--share=0.8", "--target-ranking=heads.json", "--target-name=mine"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let selection = selection(folder.path());
    assert_eq!(selection.pair(), ("mine", PAIR.1));
    assert_eq!(selection.provenance.unwrap().target_ranking.as_deref(), Some("heads.json"));
    fs::write(
        folder.path().join("heads.json"),
        r#"{"0": [3, 2, 1, 4], "1": [2, 0, 1, 3], "2": [0, 1, 2, 3]}"#,
    )
    .unwrap();
    heads(folder.path(), &["--target-ranking=heads.json"]).refuses(1, &["heads.json", "layer 0", "below 4"]);
}

#[test]
fn the_report_page_shows_front_layers_and_the_set_over_the_needle() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(heads(folder.path(), &["--share=0.9", "--html"]).code, Some(0));
    let page = || fs::read_to_string(folder.path().join("p.html")).unwrap();
    let whole = page();
    for words in [
        "class=\"chart front\"",
        "class=\"chart layers\"",
        "class=\"chart positions\"",
        "asked: 0.9",
        "Recovery by target layer",
        "needles-5",
        "of the needle’s 10 tokens",
        "SnapKV",
        "oracle",
    ] {
        assert!(whole.contains(words), "{words}: {whole}");
    }
    for outside in ["http:", "https:", "src=", "<script", "url("] {
        assert!(!whole.contains(outside), "{outside}");
    }
    for element in ["svg", "details", "figure", "table", "section", "g", "dl"] {
        let opened =
            whole.matches(&format!("<{element} ")).count() + whole.matches(&format!("<{element}>")).count();
        assert_eq!(opened, whole.matches(&format!("</{element}>")).count(), "{element} is not closed");
    }
    // What is not of this selection is not shown with it.
    let records = folder.path().join("p.heads.json");
    let text = fs::read_to_string(&records).unwrap();
    let digest = selection(folder.path()).calibration_digest.unwrap();
    fs::write(&records, text.replace(&digest, &"0".repeat(64))).unwrap();
    assert_eq!(run(folder.path(), &["report", "p.toml"]).code, Some(0));
    assert!(!page().contains("chart front") && page().contains("tiny-qwen2-target"));
    // A record that is none is named, and the profile is shown all the same.
    fs::write(&records, "{}").unwrap();
    let told = json(&run(folder.path(), &["report", "p.toml", "--json", "--quiet"]));
    assert!(told["warnings"][0].as_str().unwrap().contains("p.heads.json"), "{told}");
    assert!(page().contains("p.heads.json"));
}
