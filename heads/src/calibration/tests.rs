//! The fixture, and files that were broken on purpose.

use std::{fs, path::PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::*;

fn fixture() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/calibration.safetensors"))
}

/// A safetensors file in pieces.
struct File {
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl File {
    fn fixture() -> Self {
        let bytes = fs::read(fixture()).unwrap();
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        Self { header: serde_json::from_slice(&bytes[8..end]).unwrap(), data: bytes[end..].to_vec() }
    }

    fn metadata(&self) -> Value {
        serde_json::from_str(self.header["__metadata__"][METADATA].as_str().unwrap()).unwrap()
    }

    fn set_metadata(&mut self, metadata: &Value) {
        self.header["__metadata__"][METADATA] = metadata.to_string().into();
    }

    /// Where a tensor's bytes lie in the data.
    fn range(&self, tensor: &str) -> std::ops::Range<usize> {
        let offset = |end: usize| self.header[tensor]["data_offsets"][end].as_u64().unwrap() as usize;
        offset(0)..offset(1)
    }

    fn bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header).unwrap();
        [&(header.len() as u64).to_le_bytes()[..], &header, &self.data].concat()
    }

    fn open(&self) -> Result<Capture, CalibrationError> {
        Capture::from_bytes("broken", self.bytes())
    }
}

/// What is said of the fixture with other metadata.
fn with_metadata(change: impl FnOnce(&mut Value)) -> String {
    let mut file = File::fixture();
    let mut metadata = file.metadata();
    change(&mut metadata);
    file.set_metadata(&metadata);
    file.open().unwrap_err().to_string()
}

#[test]
fn the_fixture_is_read_whole() {
    let capture = Capture::open(&fixture()).unwrap();
    let metadata = capture.metadata();
    assert_eq!((metadata.target.name.as_str(), metadata.target.heads.len()), ("tiny-qwen2-target", 4));
    assert_eq!(metadata.prompts_of(PromptRole::HeldOut).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(capture.digest().len(), 64);
    assert!(capture.has_values());
    for (number, prompt) in (0..).zip(&metadata.prompts) {
        assert_eq!(capture.tokens(number).unwrap().len(), prompt.tokens as usize);
        for (role, model) in metadata.models() {
            for &layer in &model.layers {
                let Layer { queries, keys, values } = capture.layer(role, number, layer).unwrap();
                let kept = [model.heads.len(), model.kv_heads.len()];
                let dim = model.geometry.head_dim as usize;
                assert_eq!(queries.shape(), [kept[0], prompt.queries() as usize, dim]);
                assert_eq!(keys.shape(), [kept[1], prompt.tokens as usize, dim]);
                assert_eq!(values.unwrap().shape(), keys.shape());
                assert_eq!(keys.bits(0..kept[1]).len(), kept[1] * prompt.tokens as usize * dim);
                assert!(keys.floats(0..1).iter().any(|&item| item != 0.0));
                assert!(keys.bits(kept[1]..kept[1] + 1).is_empty());
            }
            let logits = capture.logits(role, number).unwrap().unwrap();
            assert_eq!(logits.shape(), [1, 13, 64]);
        }
    }
    assert_eq!(capture.scores(ModelRole::Target).unwrap().unwrap().shape(), [4, 3, 4]);
}

#[test]
fn the_next_token_is_what_the_captured_logits_say() {
    let capture = Capture::open(&fixture()).unwrap();
    let prompt = &capture.metadata().prompts[0];
    assert_eq!(prompt.continuation, metadata::Continuation::Generated);
    let logits = capture.logits(ModelRole::Target, 0).unwrap().unwrap().floats(0..1);
    let tokens = capture.tokens(0).unwrap();
    for (row, logits) in logits.chunks(64).enumerate().take(12) {
        let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
        let chosen = tokens[prompt.prompt_tokens as usize + row];
        assert_eq!(logits[chosen as usize], greatest, "row {row}");
    }
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused_with_a_sentence() {
    let whole = fs::read(fixture()).unwrap();
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        let error = Capture::from_bytes("cut", whole[..length].to_vec()).unwrap_err();
        assert!(matches!(error, CalibrationError::Size { .. }), "{length}: {error}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(Capture::from_bytes("longer", longer), Err(CalibrationError::Size { .. })));
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Capture::open(empty.path()), Err(CalibrationError::Size { .. })));
}

#[test]
fn what_is_no_capture_is_refused() {
    let missing = Capture::open(std::path::Path::new("no/such.safetensors")).unwrap_err();
    assert!(matches!(missing, CalibrationError::Read { .. }), "{missing}");
    let text = Capture::from_bytes("text", b"4 bytes and then some text that is no header at all".to_vec());
    assert!(matches!(text, Err(CalibrationError::Foreign { .. })), "{text:?}");
    let mut file = File::fixture();
    file.header.remove("__metadata__");
    assert!(matches!(file.open(), Err(CalibrationError::NoMetadata { .. })));
    file.header.insert("__metadata__".into(), json!({METADATA: "{"}));
    assert!(matches!(file.open(), Err(CalibrationError::Metadata { .. })));
    assert_eq!(
        with_metadata(|metadata| metadata["version"] = 2.into()),
        "capture broken: version must be 1, but is 2; update this software, or capture again"
    );
    let no_scale =
        with_metadata(|metadata| drop(metadata["target"].as_object_mut().unwrap().remove("scale")));
    assert!(no_scale.contains("missing field `scale`"), "{no_scale}");
}

#[test]
fn geometry_that_contradicts_the_config_is_named_by_its_field() {
    assert_eq!(
        with_metadata(|metadata| metadata["target"]["geometry"]["kv_heads"] = 4.into()),
        "capture broken: target.geometry.kv_heads must be 2, as its config states, but is 4"
    );
    let config = with_metadata(|metadata| metadata["draft"]["config"]["model_type"] = "gpt2".into());
    assert!(
        config.starts_with("capture broken: the draft model's model config: model_type must be"),
        "{config}"
    );
    let shape = with_metadata(|metadata| metadata["prompts"][2]["tokens"] = 57.into());
    let required =
        "tensor target.prompts.2.layers.0.queries must be BF16 [4, 21, 64], but is BF16 [4, 20, 64]";
    assert_eq!(shape, format!("capture broken: {required}"));
    let dtype = with_metadata(|metadata| metadata["draft"]["dtype"] = "F16".into());
    assert!(dtype.contains("must be F16 [2, 20, 64], but is BF16"), "{dtype}");
}

#[test]
fn heads_and_layers_out_of_range_or_disorder_are_refused() {
    for (field, numbers, required) in [
        ("heads", json!([0, 1, 2, 4]), "target.heads must be ascending numbers below 4"),
        ("heads", json!([1, 0, 2, 3]), "target.heads must be ascending"),
        ("heads", json!([]), "target.heads must be ascending numbers below 4, at least one"),
        ("layers", json!([0, 1, 3]), "target.layers must be ascending numbers below 3"),
        ("kv_heads", json!([0, 2]), "target.kv_heads must be ascending numbers below 2"),
        ("kv_heads", json!([1]), "target.kv_heads must be {0, 1}, those of its heads"),
    ] {
        let message = with_metadata(|metadata| metadata["target"][field] = numbers);
        assert!(message.contains(required), "{message}");
    }
    let scale = with_metadata(|metadata| metadata["target"]["scale"] = (-1.0).into());
    assert!(scale.contains("target.scale must be positive"), "{scale}");
}

#[test]
fn missing_layers_and_tensors_that_only_some_have_are_refused() {
    for (tensor, expected) in [
        ("draft.prompts.3.layers.1.keys", "must have the tensor draft.prompts.3.layers.1.keys, but has not"),
        ("target.prompts.1.layers.2.values", "must have the tensor target.prompts.1.layers.2.values"),
        ("draft.prompts.5.logits", "must have the tensor draft.prompts.5.logits"),
        ("target.prompts.0.layers.0.values", "values must be absent, or values of every layer"),
        ("target.ranking.scores", "must have the tensor target.ranking.scores"),
        ("prompts.4.tokens", "must have the tensor prompts.4.tokens"),
    ] {
        let mut file = File::fixture();
        // Under another name its bytes are still somebody's.
        let info = file.header.remove(tensor).unwrap();
        file.header.insert("other".into(), info);
        let message = file.open().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn senseless_positions_tokens_and_roles_are_refused() {
    for (field, value, required) in [
        ("prompt_tokens", json!(52), "prompts[0].prompt_tokens must be below tokens, 52"),
        ("first_query", json!(40), "prompts[0].first_query must be below prompt_tokens, 40"),
        ("tokens", json!(u32::MAX), "prompts[0].tokens must be at most"),
        (
            "needle_spans",
            json!([[30, 41]]),
            "prompts[0].needle_spans must be start < end <= prompt_tokens, 40",
        ),
        ("needle_spans", json!([[9, 9]]), "prompts[0].needle_spans"),
        ("role", json!("held_out"), "ranking.prompts must be numbers of searched prompts, but is 0"),
    ] {
        let message = with_metadata(|metadata| metadata["prompts"][0][field] = value);
        assert!(message.contains(required), "{message}");
    }
    for token in [-1, 64] {
        let mut file = File::fixture();
        let at = file.range("prompts.2.tokens").start + 4;
        file.data[at..at + 4].copy_from_slice(&i32::to_le_bytes(token));
        let message = file.open().unwrap_err().to_string();
        let required = "prompts.2.tokens must be from 0 to 63, in the vocabulary of every model, but is";
        assert_eq!(message, format!("capture broken: {required} {token}"));
    }
}

#[test]
fn numbers_that_are_not_finite_are_named_by_tensor_head_and_position() {
    for (tensor, bits, row, named) in [
        ("target.prompts.1.layers.2.keys", 0x7fc0, 64 + 9, "head 1, position 9"),
        ("target.prompts.1.layers.2.queries", 0xff80, 3 * 20 + 2, "head 3, position 46"),
        ("draft.prompts.1.layers.0.values", 0x7f80, 63, "head 0, position 63"),
        ("draft.prompts.1.logits", 0x7f81, 12, "head 0, position 63"),
    ] {
        let mut file = File::fixture();
        let at = file.range(tensor).start + row * 128 + 14;
        file.data[at..at + 2].copy_from_slice(&u16::to_le_bytes(bits));
        let capture = file.open().unwrap();
        let role = if tensor.starts_with("target") { ModelRole::Target } else { ModelRole::Draft };
        let layer = if tensor.contains("layers.2") { 2 } else { 0 };
        let error = match capture.logits(role, 1) {
            Err(error) => error,
            Ok(_) => capture.layer(role, 1, layer).unwrap_err(),
        };
        let required = format!("tensor {tensor} must be finite, but is not at {named}");
        assert_eq!(error.to_string(), format!("capture broken: {required}; capture again"));
        // What was found finite is not looked at again, what was not is refused again.
        for _ in 0..2 {
            capture.layer(ModelRole::Target, 0, 0).unwrap();
            assert!(capture.layer(role, 1, layer).is_err() != tensor.contains("logits"));
        }
    }
}

#[test]
fn swapped_models_are_told_from_unknown_ones() {
    let capture = Capture::open(&fixture()).unwrap();
    let config = |role| capture.model(role).unwrap().config.to_string();
    let check = |role, config: &str| capture.require_config(role, "config.json", config.as_bytes());
    for role in ModelRole::ALL {
        check(role, &config(role)).unwrap();
    }
    let swapped = check(ModelRole::Target, &config(ModelRole::Draft)).unwrap_err();
    assert!(
        swapped.to_string().ends_with(
            "the target model must be that of config.json, but that is its draft model; swap the two"
        ),
        "{swapped}"
    );
    assert!(matches!(
        check(ModelRole::Draft, &config(ModelRole::Target)),
        Err(CalibrationError::Swapped { .. })
    ));
    let mut other: Value = serde_json::from_str(&config(ModelRole::Target)).unwrap();
    other["num_hidden_layers"] = 5.into();
    other["layer_types"] = Value::Null;
    let unknown = check(ModelRole::Target, &other.to_string()).unwrap_err().to_string();
    assert!(unknown.contains("target.geometry.layers must be 5, as config.json, but is 3"), "{unknown}");
    assert!(matches!(check(ModelRole::Target, "{"), Err(CalibrationError::Config { .. })));
}

#[test]
fn steps_are_those_that_the_continuation_has_room_for() {
    let capture = Capture::open(&fixture()).unwrap();
    // 40 prompt tokens, 52 altogether: N - P - γ steps.
    assert_eq!(capture.metadata().prompts[0].steps(4), 40..48);
    assert_eq!(capture.metadata().prompts[0].steps(11).len(), 1);
    capture.require_steps(0, 11).unwrap();
    let error = capture.require_steps(0, 12).unwrap_err().to_string();
    assert!(
        error.ends_with("prompts[0].tokens must be at least 53, for a step of 12 draft tokens, but is 52"),
        "{error}"
    );
    assert!(capture.require_steps(6, 1).is_err());
    assert!(capture.require_steps(0, u32::MAX).is_err());
}

#[test]
fn a_task_without_prompts_of_its_role_is_refused() {
    let mut file = File::fixture();
    let mut metadata = file.metadata();
    for prompt in [4, 5] {
        metadata["prompts"][prompt]["role"] = "searched".into();
    }
    file.set_metadata(&metadata);
    let capture = file.open().unwrap();
    assert_eq!(capture.require_prompts(PromptRole::Searched).unwrap().len(), 6);
    let error = capture.require_prompts(PromptRole::HeldOut).unwrap_err().to_string();
    assert!(error.starts_with("capture broken: must have a held-out prompt, but has none"), "{error}");
}

/// The fixture in two shards and an index, in a folder of their own.
fn sharded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let whole = File::fixture();
    let capture = whole.metadata()["capture"].clone();
    let mut weight_map = Map::new();
    let mut files = Map::new();
    for (name, of_target) in [("a.safetensors", true), ("b.safetensors", false)] {
        let mut shard = File { header: Map::new(), data: Vec::new() };
        shard.header.insert(
            "__metadata__".into(),
            json!({METADATA: json!({"version": 1, "capture": capture}).to_string()}),
        );
        for (tensor, info) in &whole.header {
            if tensor == "__metadata__" || tensor.starts_with("target") != of_target {
                continue;
            }
            let begin = shard.data.len();
            shard.data.extend(&whole.data[whole.range(tensor)]);
            let mut info = info.clone();
            info["data_offsets"] = json!([begin, shard.data.len()]);
            shard.header.insert(tensor.clone(), info);
            weight_map.insert(tensor.clone(), name.into());
        }
        let bytes = shard.bytes();
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        files.insert(name.into(), json!({"bytes": bytes.len(), "sha256": digest}));
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let index = json!({
        "metadata": {"total_size": 0, METADATA: whole.metadata().to_string()},
        "files": files,
        "weight_map": weight_map,
    });
    fs::write(folder.path().join(INDEX), index.to_string()).unwrap();
    folder
}

#[test]
fn shards_hold_what_the_single_file_holds() {
    let folder = sharded();
    let single = Capture::open(&fixture()).unwrap();
    for path in [folder.path().to_path_buf(), folder.path().join(INDEX)] {
        let capture = Capture::open(&path).unwrap();
        capture.check_digests().unwrap();
        assert_eq!(capture.metadata(), single.metadata());
        assert_ne!(capture.digest(), single.digest());
        for role in ModelRole::ALL {
            let [ours, theirs] = [&capture, &single].map(|it| it.layer(role, 3, 1).unwrap());
            assert_eq!(ours.queries.bits(0..4), theirs.queries.bits(0..4));
            assert_eq!(ours.keys.bits(0..1), theirs.keys.bits(0..1));
        }
    }
}

#[test]
fn shards_that_are_missing_cut_altered_or_of_another_capture_are_refused() {
    let folder = sharded();
    let path = folder.path().join("b.safetensors");
    let whole = fs::read(&path).unwrap();

    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let cut = Capture::open(folder.path()).unwrap_err();
    assert!(matches!(&cut, CalibrationError::Size { file, .. } if file.ends_with("b.safetensors")), "{cut}");

    let mut altered = whole.clone();
    // Among the draft's keys and queries, where every number is a legal one.
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    fs::write(&path, &altered).unwrap();
    let digest = Capture::open(folder.path()).unwrap().check_digests().unwrap_err();
    assert!(matches!(digest, CalibrationError::Digest { .. }), "{digest}");

    let known = File::fixture().metadata()["capture"].as_str().unwrap().to_owned();
    let text = String::from_utf8_lossy(&whole[8..600]).into_owned();
    let at = 8 + text.find(&known).unwrap();
    let mut other = whole.clone();
    other[at] = if other[at] == b'0' { b'1' } else { b'0' };
    fs::write(&path, &other).unwrap();
    let foreign = Capture::open(folder.path()).unwrap_err();
    assert!(matches!(foreign, CalibrationError::OtherCapture { .. }), "{foreign}");

    fs::remove_file(&path).unwrap();
    let missing = Capture::open(folder.path()).unwrap_err();
    assert!(matches!(missing, CalibrationError::Read { .. }), "{missing}");
}

#[test]
fn an_index_leads_nowhere_outside_its_folder() {
    let folder = sharded();
    let path = folder.path().join(INDEX);
    let index = fs::read_to_string(&path).unwrap();
    fs::write(&path, index.replace("b.safetensors", "../b.safetensors")).unwrap();
    let error = Capture::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("files must be plain file names, but is ../b.safetensors"), "{error}");
    fs::write(
        &path,
        index.replace("\"draft.prompts.0.layers.0.keys\":\"b", "\"draft.prompts.0.layers.0.keys\":\"c"),
    )
    .unwrap();
    let error = Capture::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("weight_map[draft.prompts.0.layers.0.keys] must be one of files"), "{error}");
    fs::write(&path, &index[..index.len() / 2]).unwrap();
    assert!(matches!(Capture::open(folder.path()), Err(CalibrationError::Foreign { .. })));
}

#[test]
fn single_precision_and_odd_addresses_are_read_by_copying() {
    let items: Vec<u8> = [1.0_f32, -2.5, 0.0, 3.0e38].iter().flat_map(|item| item.to_le_bytes()).collect();
    let single = Tensor::new(std::sync::Arc::new(file::Bytes::Owned(items)), 0..16, Element::F32, [2, 1, 2]);
    assert_eq!(single.floats(0..2), [1.0, -2.5, 0.0, 3.0e38]);
    assert_eq!(single.bits(0..1)[..], [1.0, -2.5].map(|item| half::bf16::from_f32(item).to_bits()));
    let bytes: Vec<u8> = [0, 0x80, 0x3f, 0x80, 0xbf, 0, 0].to_vec();
    for begin in [0, 1] {
        let bytes = std::sync::Arc::new(file::Bytes::Owned(bytes.clone()));
        let tensor = Tensor::new(bytes, begin..begin + 4, Element::Bf16, [1, 2, 1]);
        let expected = if begin == 1 { [0x3f80, 0xbf80] } else { [0x8000, 0x803f] };
        assert_eq!(tensor.bits(0..1)[..], expected);
    }
}
