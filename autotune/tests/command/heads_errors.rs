//! Captures, configs and requests that `heads` refuses: one sentence, exit code 1 (of the command line 2), and nothing written.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    common::run,
    heads::{CAPTURE, SMALL},
};

/// A safetensors file in pieces.
struct File {
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl File {
    fn fixture() -> Self {
        let bytes = fs::read(CAPTURE).unwrap();
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        Self { header: serde_json::from_slice(&bytes[8..end]).unwrap(), data: bytes[end..].to_vec() }
    }

    fn metadata(&self) -> Value {
        serde_json::from_str(self.header["__metadata__"]["dustin.calibration"].as_str().unwrap()).unwrap()
    }

    fn with_metadata(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut file = Self::fixture();
        let mut metadata = file.metadata();
        change(&mut metadata);
        file.header["__metadata__"]["dustin.calibration"] = metadata.to_string().into();
        file.bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header).unwrap();
        [&(header.len() as u64).to_le_bytes()[..], &header, &self.data].concat()
    }
}

/// Where the bytes of a tensor lie in the data.
fn range(file: &File, tensor: &str) -> std::ops::Range<usize> {
    let offset = |end: usize| file.header[tensor]["data_offsets"][end].as_u64().unwrap() as usize;
    offset(0)..offset(1)
}

/// That the capture of these bytes is refused in these words, and that nothing is written.
fn refused(folder: &Path, bytes: &[u8], words: &[&str]) {
    fs::write(folder.join("broken.safetensors"), bytes).unwrap();
    run(folder, &[&["heads", "broken.safetensors"], &SMALL[..]].concat())
        .refuses(1, &[&["broken.safetensors"], words].concat());
    assert_eq!(fs::read_dir(folder).unwrap().filter(|it| wrote(it.as_ref().unwrap())).count(), 0);
}

/// Whether it is something that a run that chose heads writes. The lock of the device stays.
fn wrote(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with("p.")
}

#[test]
fn broken_captures_are_refused_with_a_sentence_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let whole = fs::read(CAPTURE).unwrap();
    refused(folder, &whole[..whole.len() / 2], &["must have", "bytes", "copy it again"]);
    refused(folder, &whole[..5], &["must have at least 8 bytes"]);
    refused(folder, b"no safetensors at all, but long enough to have a header", &[]);

    let mut file = File::fixture();
    let keys = range(&file, "target.prompts.1.layers.2.keys");
    file.data[keys.start..keys.start + 2].copy_from_slice(&0x7fc0_u16.to_le_bytes());
    refused(
        folder,
        &file.bytes(),
        &["target.prompts.1.layers.2.keys", "must be finite", "head 0, position 0"],
    );

    let mut file = File::fixture();
    let layer = file.header.remove("target.prompts.0.layers.1.queries").unwrap();
    file.header.insert("spare".into(), layer);
    refused(folder, &file.bytes(), &["target.prompts.0.layers.1.queries", "capture again"]);

    let geometry = File::with_metadata(|it| it["target"]["geometry"]["kv_heads"] = json!(4));
    refused(folder, &geometry, &["target.geometry.kv_heads", "as its config states", "4"]);
    let head = File::with_metadata(|it| it["target"]["heads"] = json!([0, 1, 2, 4]));
    refused(folder, &head, &["target.heads", "below 4"]);
    let layer = File::with_metadata(|it| it["draft"]["layers"] = json!([0, 2]));
    refused(folder, &layer, &["draft.layers", "below 2"]);
    let version = File::with_metadata(|it| it["version"] = json!(2));
    refused(folder, &version, &["version must be 1, but is 2"]);
    let roles = File::with_metadata(|it| {
        it["prompts"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|prompt| prompt["role"] = json!("searched"));
    });
    refused(folder, &roles, &["held-out prompt"]);
    let one = File::with_metadata(|it| it["prompts"][4]["role"] = json!("searched"));
    refused(folder, &one, &["at least 2 held-out prompts", "has 1"]);
    run(folder, &[&["heads", "missing.safetensors"], &SMALL[..]].concat())
        .refuses(1, &["missing.safetensors"]);
}

#[test]
fn models_that_are_swapped_or_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = File::fixture().metadata();
    for role in ["target", "draft"] {
        let config = metadata[role]["config"].to_string();
        fs::write(folder.path().join(format!("{role}.json")), config).unwrap();
    }
    let mut other = metadata["target"]["config"].clone();
    other["num_hidden_layers"] = json!(4);
    fs::write(folder.path().join("other.json"), other.to_string()).unwrap();
    let with = |target: &str, draft: &str| {
        let configs = [format!("--target-config={target}"), format!("--draft-config={draft}")];
        let configs: Vec<&str> = configs.iter().map(String::as_str).collect();
        run(folder.path(), &[&["heads", CAPTURE], &SMALL[..], &configs, &["--share=0.8"]].concat())
    };
    with("draft.json", "target.json").refuses(1, &["draft.json", "swap the two"]);
    with("other.json", "draft.json").refuses(1, &["target.geometry.layers", "as other.json"]);
    with("missing.json", "draft.json").refuses(1, &["missing.json"]);
    assert!(!folder.path().join("p.toml").exists());
    let right = with("target.json", "draft.json");
    assert_eq!(right.code, Some(0), "{right:?}");
}

#[test]
fn requests_that_cannot_be_met_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (arguments, words) in [
        (&["heads"][..], &["CAPTURE"][..]),
        (&["heads", CAPTURE, "--share=0"], &["--share", "above 0"]),
        (&["heads", CAPTURE, "--confidence=1"], &["--confidence", "below 1"]),
        (&["heads", CAPTURE, "--front", "--share=0.9"], &["--front", "--share"]),
        (&["heads", CAPTURE, "--pooling=2"], &["--pooling must be odd"]),
        (&["heads", CAPTURE, "--layers=1"], &["--layers"]),
        (&["heads", "--layers=1"], &["--target-ranking"]),
        (&["heads", CAPTURE, "--device=cpu", "--context=100"], &["--budget-k 512", "--context, 100"]),
        (
            &["heads", "--layers=1", "--target-ranking=x.json", "--target-name=y", "--budget-k=64,128"],
            &["--budget-k takes one number"],
        ),
    ] {
        run(folder, arguments).refuses(2, words);
    }
    fs::write(folder.join("ranking.json"), r#"{"0": [0, 1]}"#).unwrap();
    let import = ["heads", "--target-ranking=ranking.json", "--layers=0", "--device=cpu", "-o", "p.toml"];
    for (name, words) in [
        ("Unheard-Of-7B", &["Unheard-Of-7B", "config.json"][..]),
        ("Qwen2.5-7B", &["ranking.json", "layer 0"]),
    ] {
        run(folder, &[&import[..], &["--target-name", name]].concat()).refuses(1, words);
    }
    // Quotas need a draft, sinks and recent tokens room, and a foreign profile is left alone.
    for (more, words) in [
        (&["--recent=16"][..], &["sinks + recent"][..]),
        (&["--quota=17"], &["quotas", "at most 16"]),
        (&["--gamma=12"], &["prompts with a step of 12 draft tokens"]),
    ] {
        run(folder, &[&["heads", CAPTURE], &SMALL[..], more].concat()).refuses(1, words);
    }
    fs::write(folder.join("p.toml"), "[package]\n").unwrap();
    run(folder, &[&["heads", CAPTURE], &SMALL[..]].concat()).refuses(1, &["p.toml", "--output"]);
    assert_eq!(fs::read_to_string(folder.join("p.toml")).unwrap(), "[package]\n");
}
