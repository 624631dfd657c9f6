//! Geometry from a model's `config.json`, as Hugging Face's transformers writes it.
//!
//! Fields have the meanings and the defaults that transformers gives them. What would make the kernels' results other than the
//! model's is an error: an unknown family, or layers that see no more than a sliding window.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::Geometry;
use crate::error::InvalidInput;

const OPERATION: &str = "model config";

/// The most bytes that are read: a hundred times the largest of these files.
const LIMIT: u64 = 1 << 20;

/// The most that any size may be; far beyond all models, and small enough that sizes can be multiplied.
const MOST: u32 = 1 << 24;

/// Why a `config.json` gives no geometry.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The operating system refuses to read it.
    #[error("model config {path}: cannot be read ({source}); check the path and its permissions", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// It is far larger than any model's.
    #[error("model config {path}: must be at most {limit} bytes, but is larger; name a config.json", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// It is not JSON, or not all of it.
    #[error("model config: must be JSON, but line {line}, column {column}: {message}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1; 0 where the text ends too early.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// A field is missing, senseless, or says that the model cannot be served.
    #[error(transparent)]
    InvalidInput(#[from] InvalidInput),
}

/// The families whose attention the kernels compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Qwen2,
    Qwen3,
    Llama,
    Mistral,
}

const FAMILIES: [(Family, &str, &str); 4] = [
    (Family::Qwen2, "qwen2", "Qwen2ForCausalLM"),
    (Family::Qwen3, "qwen3", "Qwen3ForCausalLM"),
    (Family::Llama, "llama", "LlamaForCausalLM"),
    (Family::Mistral, "mistral", "MistralForCausalLM"),
];

/// Reads the `config.json` at `path`.
///
/// # Errors
/// The file cannot be read or is too large, or as [`parse_config`].
pub fn read_config(path: &Path) -> Result<Geometry, ConfigError> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|source| ConfigError::Read { path: path.into(), source })?;
    if bytes.len() as u64 > LIMIT {
        return Err(ConfigError::TooLarge { path: path.into(), limit: LIMIT });
    }
    parse_config(&bytes)
}

/// The geometry that the text of a `config.json` states.
///
/// # Errors
/// The text is not JSON; the model is of another family than Qwen2, Qwen3, Llama and Mistral; a field is missing or senseless; or
/// layers see no more than a sliding window that is shorter than the longest context. The field is named.
pub fn parse_config(text: &[u8]) -> Result<Geometry, ConfigError> {
    let value: Value = serde_json::from_slice(text).map_err(|error| ConfigError::NotJson {
        line: error.line(),
        column: error.column(),
        message: error.to_string(),
    })?;
    let Value::Object(fields) = value else {
        return Err(invalid("config", "an object", kind(&value)).into());
    };
    let config = Config(&fields);
    let family = config.family()?;
    let query_heads = config.size("num_attention_heads")?;
    let (kv_heads, hidden) =
        (config.optional_size("num_key_value_heads")?.unwrap_or(query_heads), config.size("hidden_size")?);
    if !query_heads.is_multiple_of(kv_heads) {
        let required = format!("a divisor of num_attention_heads, {query_heads}");
        return Err(invalid("num_key_value_heads", required, kv_heads).into());
    }
    let head_dim = match config.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        // What transformers assumes of Qwen3 is 128, whatever the hidden size: better to ask than to assume either.
        None if family == Family::Qwen3 => return Err(missing("head_dim").into()),
        None if hidden.is_multiple_of(query_heads) => hidden / query_heads,
        None => {
            let required =
                format!("a multiple of num_attention_heads, {query_heads}, as there is no head_dim");
            return Err(invalid("hidden_size", required, hidden).into());
        }
    };
    let geometry = Geometry {
        layers: config.size("num_hidden_layers")?,
        query_heads,
        kv_heads,
        head_dim,
        hidden,
        intermediate: config.size("intermediate_size")?,
        vocabulary: config.size("vocab_size")?,
    };
    config.require_full_attention(family, geometry.layers)?;
    Ok(geometry)
}

struct Config<'a>(&'a Map<String, Value>);

impl Config<'_> {
    /// A field, nothing if it is absent or null.
    fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn family(&self) -> Result<Family, InvalidInput> {
        let known = |words: [&str; 4]| format!("one of {}", words.join(", "));
        let stated = match self.field("model_type") {
            None => None,
            Some(value) => {
                let found = FAMILIES.into_iter().find(|(_, name, _)| value.as_str() == Some(name));
                let required = || known(FAMILIES.map(|(_, name, _)| name));
                Some(found.ok_or_else(|| invalid("model_type", required(), value))?)
            }
        };
        let Some(value) = self.field("architectures") else {
            return stated.map(|(family, ..)| family).ok_or_else(|| missing("model_type"));
        };
        let first = value.get(0).and_then(Value::as_str);
        let (required, found) = match stated {
            Some((family, _, class)) => (class.to_owned(), (first == Some(class)).then_some(family)),
            None => (
                known(FAMILIES.map(|(.., class)| class)),
                FAMILIES.into_iter().find(|(.., class)| first == Some(class)).map(|(family, ..)| family),
            ),
        };
        found.ok_or_else(|| invalid("architectures", required, value))
    }

    fn size(&self, name: &'static str) -> Result<u32, InvalidInput> {
        self.optional_size(name)?.ok_or_else(|| missing(name))
    }

    fn optional_size(&self, name: &'static str) -> Result<Option<u32>, InvalidInput> {
        let Some(value) = self.field(name) else { return Ok(None) };
        let size = value.as_u64().and_then(|size| u32::try_from(size).ok());
        let size = size.filter(|size| (1..=MOST).contains(size));
        size.map(Some).ok_or_else(|| invalid(name, format!("a whole number from 1 to {MOST}"), value))
    }

    /// Refuses a model some of whose layers see no more than a window that is shorter than the longest context.
    fn require_full_attention(&self, family: Family, layers: u32) -> Result<(), InvalidInput> {
        let window = match family {
            Family::Llama => None,
            Family::Qwen2 | Family::Qwen3 => self.qwen_window(layers)?,
            // Absent, the window is 4096; null, there is none.
            Family::Mistral => match self.0.get("sliding_window") {
                None => Some(4096),
                Some(_) => self.optional_size("sliding_window")?,
            },
        };
        let Some(window) = window else { return Ok(()) };
        match self.optional_size("max_position_embeddings")? {
            Some(longest) if window >= longest => Ok(()),
            _ => {
                let required =
                    "null, or no shorter than max_position_embeddings: all layers must see the whole context";
                Err(invalid("sliding_window", required, window))
            }
        }
    }

    /// The window of a Qwen model, if any of its layers has it.
    fn qwen_window(&self, layers: u32) -> Result<Option<u32>, InvalidInput> {
        match self.field("use_sliding_window") {
            Some(Value::Bool(true)) => {}
            None | Some(Value::Bool(false)) => return Ok(None),
            Some(value) => return Err(invalid("use_sliding_window", "true or false", value)),
        }
        // Absent, these two have defaults in transformers; null, there is no window.
        let window = match self.0.get("sliding_window") {
            None => Some(4096),
            Some(_) => self.optional_size("sliding_window")?,
        };
        let some_layer = match self.field("layer_types") {
            Some(Value::Array(types)) => types.iter().any(|layer| layer.as_str() != Some("full_attention")),
            Some(value) => return Err(invalid("layer_types", "a list", kind(value))),
            None => {
                let value = self.field("max_window_layers");
                let full = value.map_or(Some(28), Value::as_u64).ok_or_else(|| {
                    invalid("max_window_layers", "a whole number", value.unwrap_or(&Value::Null))
                })?;
                full < u64::from(layers)
            }
        };
        Ok(window.filter(|_| some_layer))
    }
}

fn invalid(
    field: &'static str,
    required: impl std::fmt::Display,
    actual: impl std::fmt::Display,
) -> InvalidInput {
    // A senseless value may be as long as the file.
    let actual: String = actual.to_string().chars().take(80).collect();
    InvalidInput::new(OPERATION, field, required, actual)
}

fn missing(field: &'static str) -> InvalidInput {
    invalid(field, "given", "missing")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a flag",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
