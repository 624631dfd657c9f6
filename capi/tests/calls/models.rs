//! Geometry: presets and `config.json`.

use std::{ffi::CString, ptr::null};

use dustin_c::*;

use crate::fixture::*;

fn empty() -> dustin_geometry {
    dustin_geometry { struct_size: size_of_struct::<dustin_geometry>(), ..dustin_geometry::default() }
}

fn parse(config: &str) -> (dustin_status, dustin_geometry) {
    let mut geometry = empty();
    // SAFETY: the text has the length, and the struct may be written.
    let status = unsafe { dustin_geometry_parse_config(config.as_ptr().cast(), config.len(), &mut geometry) };
    (status, geometry)
}

const QWEN: &str = r#"{"model_type": "qwen2", "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
    "hidden_size": 1536, "intermediate_size": 8960, "vocab_size": 151936, "max_position_embeddings": 32768"#;

#[test]
fn a_config_states_the_geometry_of_its_preset() {
    let (status, parsed) = parse(&format!("{QWEN}}}"));
    succeed(status);
    let mut preset = empty();
    // SAFETY: the name ends with NUL, and the struct may be written.
    succeed(unsafe { dustin_geometry_preset(c"Qwen2.5-1.5B".as_ptr(), &mut preset) });
    let sizes = |own: &dustin_geometry| {
        [
            own.layers,
            own.query_heads,
            own.kv_heads,
            own.head_dim,
            own.hidden,
            own.intermediate,
            own.vocabulary,
        ]
    };
    assert_eq!(sizes(&parsed), sizes(&preset));
    assert_eq!(sizes(&parsed), [28, 12, 2, 128, 1536, 8960, 151_936]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, format!("{QWEN}}}")).unwrap();
    let (mut read, path) = (empty(), CString::new(path.to_str().unwrap()).unwrap());
    // SAFETY: as above.
    succeed(unsafe { dustin_geometry_read_config(path.as_ptr(), &mut read) });
    assert_eq!(sizes(&read), sizes(&preset));
}

#[test]
fn an_active_sliding_window_is_refused() {
    let (status, _) = parse(&format!(
        r#"{QWEN}, "use_sliding_window": true, "sliding_window": 4096, "max_window_layers": 0}}"#
    ));
    refuse(status, "sliding_window");
    succeed(parse(&format!(r#"{QWEN}, "use_sliding_window": false, "sliding_window": 4096}}"#)).0);
}

#[test]
fn models_that_cannot_be_served_are_refused_with_the_reason() {
    let mut geometry = empty();
    // SAFETY: texts end with NUL, and the struct may be written; null is refused.
    unsafe {
        refuse(dustin_geometry_preset(c"GPT-2".as_ptr(), &mut geometry), "name");
        assert!(last_error().contains("Qwen2.5-72B"), "{}", last_error());
        refuse(dustin_geometry_preset(null(), &mut geometry), "name");
        refuse(dustin_geometry_preset(c"\xff".as_ptr(), &mut geometry), "name");
        refuse(dustin_geometry_read_config(null(), &mut geometry), "path");
        let missing = dustin_geometry_read_config(c"/no/such/config.json".as_ptr(), &mut geometry);
        assert_eq!(missing, dustin_status::Io, "{}", last_error());
        refuse(dustin_geometry_parse_config(null(), 3, &mut geometry), "config");
    }
    refuse(parse(r#"{"model_type": "gpt2"}"#).0, "model_type");
    let (status, _) = parse("not JSON");
    assert_eq!(status, dustin_status::InvalidInput);
    assert!(last_error().contains("must be JSON"), "{}", last_error());
}
