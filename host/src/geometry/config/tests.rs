use serde_json::json;

use super::*;
use crate::geometry::preset;

/// The fields of Qwen2.5-7B-Instruct's file that matter, and some that do not.
fn qwen() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_hidden_layers": 28,
        "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 32768, "max_window_layers": 28,
        "sliding_window": 131072, "use_sliding_window": false, "torch_dtype": "bfloat16"
    })
}

/// The fields of Mistral-Nemo's file that matter.
fn nemo() -> Value {
    json!({
        "architectures": ["MistralForCausalLM"], "model_type": "mistral", "head_dim": 128, "hidden_size": 5120,
        "intermediate_size": 14336, "max_position_embeddings": 1024000, "num_attention_heads": 32,
        "num_hidden_layers": 40, "num_key_value_heads": 8, "sliding_window": null, "vocab_size": 131072
    })
}

fn parse(config: &Value) -> Result<Geometry, ConfigError> {
    parse_config(config.to_string().as_bytes())
}

fn refused(config: &Value) -> InvalidInput {
    match parse(config) {
        Err(ConfigError::InvalidInput(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// `config` with `fields` in the place of its own.
fn with(mut config: Value, fields: Value) -> Value {
    let (Value::Object(all), Value::Object(fields)) = (&mut config, fields) else { panic!("objects") };
    all.extend(fields);
    config
}

fn without(mut config: Value, field: &str) -> Value {
    config.as_object_mut().unwrap().remove(field).expect("a field");
    config
}

#[test]
fn a_file_gives_the_geometry_that_is_built_in() {
    assert_eq!(parse(&qwen()).unwrap(), preset("Qwen2.5-7B").unwrap());
    let named_by_its_class_alone = without(qwen(), "model_type");
    assert_eq!(parse(&named_by_its_class_alone).unwrap(), preset("Qwen2.5-7B").unwrap());
    let named_by_its_type_alone = without(qwen(), "architectures");
    assert_eq!(parse(&named_by_its_type_alone).unwrap(), preset("Qwen2.5-7B").unwrap());

    let llama = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "head_dim": 64, "hidden_size": 2048,
        "intermediate_size": 8192, "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
        "vocab_size": 128256, "max_position_embeddings": 131072
    });
    assert_eq!(parse(&llama).unwrap(), preset("Llama-3.2-1B").unwrap());
    assert_eq!(parse(&without(llama.clone(), "head_dim")).unwrap(), preset("Llama-3.2-1B").unwrap());
    assert_eq!(parse(&without(llama, "num_key_value_heads")).unwrap().kv_heads, 32);
}

#[test]
fn heads_need_not_fill_the_hidden_state_where_their_size_is_stated() {
    let nemo = parse(&nemo()).unwrap();
    assert_eq!((nemo.query_heads * nemo.head_dim, nemo.hidden), (4096, 5120));
    let fields = json!({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024});
    let qwen3 = with(qwen(), fields);
    assert_eq!(refused(&qwen3).field, "head_dim");
    assert_eq!(parse(&with(qwen3, json!({"head_dim": 128}))).unwrap().head_dim, 128);
}

#[test]
fn missing_and_senseless_fields_are_refused_by_name() {
    for field in
        ["hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size"]
    {
        let error = refused(&without(qwen(), field));
        assert_eq!((error.field, error.actual.as_str()), (field, "missing"));
        assert_eq!(refused(&with(qwen(), json!({field: null}))).field, field);
        for senseless in
            [json!(0), json!(-1), json!(1.5), json!("28"), json!([28]), json!(u64::MAX), json!(true)]
        {
            let error = refused(&with(qwen(), json!({field: senseless})));
            assert_eq!((error.field, error.actual), (field, senseless.to_string()));
        }
    }
    assert_eq!(refused(&with(qwen(), json!({"num_key_value_heads": 3}))).field, "num_key_value_heads");
    assert_eq!(refused(&with(qwen(), json!({"num_key_value_heads": 0}))).field, "num_key_value_heads");
    assert_eq!(refused(&with(qwen(), json!({"hidden_size": 3585}))).field, "hidden_size");
    assert_eq!(refused(&with(qwen(), json!({"head_dim": "wide"}))).field, "head_dim");
    let long = refused(&with(qwen(), json!({"vocab_size": "x".repeat(1000)})));
    assert!(long.actual.len() < 100);
}

#[test]
fn other_families_are_refused_by_name() {
    let error = refused(&with(qwen(), json!({"model_type": "gemma2"})));
    assert_eq!(
        error.to_string(),
        "model config: model_type must be one of qwen2, qwen3, llama, mistral, but is \"gemma2\""
    );
    assert_eq!(refused(&with(qwen(), json!({"model_type": 7}))).field, "model_type");
    for other in
        [json!(["Qwen2VLForConditionalGeneration"]), json!(["LlamaForCausalLM"]), json!([]), json!("Qwen2")]
    {
        assert_eq!(refused(&with(qwen(), json!({"architectures": other}))).field, "architectures");
    }
    let nameless = without(without(qwen(), "architectures"), "model_type");
    assert_eq!(refused(&nameless).field, "model_type");
    let unknown = with(without(qwen(), "model_type"), json!({"architectures": ["GPT2LMHeadModel"]}));
    assert_eq!(refused(&unknown).field, "architectures");
}

#[test]
fn a_sliding_window_that_some_layer_has_is_refused_and_one_that_hides_nothing_is_not() {
    let windowed = json!({"use_sliding_window": true, "sliding_window": 4096, "max_window_layers": 21});
    let active = with(qwen(), windowed);
    assert_eq!(refused(&active).field, "sliding_window");
    let serves = |config: Value, fields| parse(&with(config, fields)).is_ok();
    assert!(serves(active.clone(), json!({"use_sliding_window": false})));
    assert!(serves(active.clone(), json!({"sliding_window": null})));
    assert!(serves(active.clone(), json!({"sliding_window": 32768})));
    assert!(serves(active.clone(), json!({"max_window_layers": 28})));
    assert!(serves(active.clone(), json!({"layer_types": vec!["full_attention"; 28]})));
    assert!(!serves(active.clone(), json!({"layer_types": ["full_attention", "sliding_attention"]})));
    assert!(!serves(active.clone(), json!({"max_position_embeddings": null})));
    assert_eq!(refused(&with(active.clone(), json!({"use_sliding_window": 1}))).field, "use_sliding_window");
    assert_eq!(refused(&with(active.clone(), json!({"max_window_layers": -1}))).field, "max_window_layers");
    assert_eq!(refused(&with(active.clone(), json!({"layer_types": 3}))).field, "layer_types");
    assert_eq!(refused(&with(active, json!({"sliding_window": "long"}))).field, "sliding_window");

    assert_eq!(refused(&with(nemo(), json!({"sliding_window": 4096}))).field, "sliding_window");
    assert_eq!(refused(&without(nemo(), "sliding_window")).field, "sliding_window");
    assert!(serves(nemo(), json!({"sliding_window": 1024000})));
}

#[test]
fn what_is_cut_off_or_no_object_is_refused() {
    let text = qwen().to_string();
    for end in [0, 1, text.len() / 2, text.len() - 1] {
        let error = parse_config(&text.as_bytes()[..end]).unwrap_err();
        assert!(matches!(error, ConfigError::NotJson { .. }), "{end}: {error}");
    }
    assert!(matches!(parse_config(b"\xff\xfe{}").unwrap_err(), ConfigError::NotJson { .. }));
    assert!(matches!(parse_config("[".repeat(100_000).as_bytes()).unwrap_err(), ConfigError::NotJson { .. }));
    for (text, actual) in [("[]", "a list"), ("7", "a number"), ("null", "null"), ("\"{}\"", "a text")] {
        let Err(ConfigError::InvalidInput(error)) = parse_config(text.as_bytes()) else { panic!("{text}") };
        assert_eq!((error.field, error.actual.as_str()), ("config", actual));
    }
}

#[test]
fn files_that_cannot_be_read_are_refused_with_their_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let error = read_config(&path).unwrap_err();
    assert!(
        matches!(error, ConfigError::Read { .. }) && error.to_string().contains("config.json"),
        "{error}"
    );
    fs::write(&path, qwen().to_string()).unwrap();
    assert_eq!(read_config(&path).unwrap(), preset("Qwen2.5-7B").unwrap());
    fs::write(&path, " ".repeat(LIMIT as usize + 1)).unwrap();
    assert!(matches!(read_config(&path).unwrap_err(), ConfigError::TooLarge { .. }));
}
