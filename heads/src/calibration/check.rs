//! What must hold of a capture before any of it is used.

use std::collections::BTreeSet;

use dustin::geometry::{Geometry, parse_config};
use safetensors::Dtype;

use super::{CalibrationError, Capture, Metadata, Model, ModelRole, Prompt, PromptRole, metadata::Element};
use crate::field::FieldError;

/// Checks what the metadata of `file` says.
pub(super) fn metadata(file: &str, metadata: &Metadata) -> Result<(), CalibrationError> {
    for (role, found) in metadata.models() {
        model(file, role, found)?;
    }
    if metadata.prompts.is_empty() {
        return Err(FieldError::new(file, "prompts", "at least one", 0).into());
    }
    for (number, found) in metadata.prompts.iter().enumerate() {
        prompt(file, number, found)?;
    }
    let Some(ranking) = &metadata.ranking else { return Ok(()) };
    for &number in &ranking.prompts {
        // Held-out ones would not be held out.
        if metadata.prompts.get(number as usize).is_none_or(|it| it.role != PromptRole::Searched) {
            return Err(
                FieldError::new(file, "ranking.prompts", "numbers of searched prompts", number).into()
            );
        }
    }
    Ok(())
}

fn model(file: &str, role: ModelRole, model: &Model) -> Result<(), CalibrationError> {
    let error = |field: &str, required: String, actual: String| {
        Err(FieldError::new(file, format!("{role}.{field}"), required, actual).into())
    };
    let stated = parse_config(model.config.to_string().as_bytes())
        .map_err(|source| CalibrationError::Config { file: file.to_owned(), role, source })?;
    same_geometry(file, role, "as its config states", stated, model.geometry)?;
    // Otherwise scores would be compared the wrong way round, or not at all.
    if !(model.scale.is_finite() && model.scale > 0.0) {
        return error("scale", "positive and finite".into(), model.scale.to_string());
    }
    let Geometry { layers, query_heads, kv_heads, .. } = model.geometry;
    for (field, numbers, end) in [
        ("layers", &model.layers, layers),
        ("heads", &model.heads, query_heads),
        ("kv_heads", &model.kv_heads, kv_heads),
    ] {
        let ascending = numbers.is_sorted_by(|a, b| a < b);
        if numbers.is_empty() || !ascending || numbers.iter().any(|&number| number >= end) {
            return error(
                field,
                format!("ascending numbers below {end}, at least one"),
                format!("{numbers:?}"),
            );
        }
    }
    let read: BTreeSet<u32> = model.heads.iter().map(|&head| model.kv_head_of(head)).collect();
    if !read.iter().eq(&model.kv_heads) {
        return error("kv_heads", format!("{read:?}, those of its heads"), format!("{:?}", model.kv_heads));
    }
    Ok(())
}

/// Refuses a geometry that is not the required one, naming the first field that differs.
pub(super) fn same_geometry(
    file: &str,
    role: ModelRole,
    source: &str,
    required: Geometry,
    actual: Geometry,
) -> Result<(), CalibrationError> {
    let fields = |it: Geometry| {
        [
            ("layers", it.layers),
            ("query_heads", it.query_heads),
            ("kv_heads", it.kv_heads),
            ("head_dim", it.head_dim),
            ("hidden", it.hidden),
            ("intermediate", it.intermediate),
            ("vocabulary", it.vocabulary),
        ]
    };
    for ((field, required), (_, actual)) in fields(required).into_iter().zip(fields(actual)) {
        if required != actual {
            let field = format!("{role}.geometry.{field}");
            return Err(FieldError::new(file, field, format!("{required}, {source}"), actual).into());
        }
    }
    Ok(())
}

fn prompt(file: &str, number: usize, prompt: &Prompt) -> Result<(), CalibrationError> {
    let error = |field: &str, required: String, actual: String| {
        Err(FieldError::new(file, format!("prompts[{number}].{field}"), required, actual).into())
    };
    let Prompt { tokens, prompt_tokens, first_query, needle_spans, .. } = prompt;
    if *tokens > i32::MAX as u32 {
        return error("tokens", format!("at most {}", i32::MAX), tokens.to_string());
    }
    if prompt_tokens >= tokens {
        return error("prompt_tokens", format!("below tokens, {tokens}"), prompt_tokens.to_string());
    }
    if first_query >= prompt_tokens {
        let required = format!("below prompt_tokens, {prompt_tokens}, so that the last one's query is there");
        return error("first_query", required, first_query.to_string());
    }
    for span @ [start, end] in needle_spans {
        if start >= end || end > prompt_tokens {
            let required = format!("start < end <= prompt_tokens, {prompt_tokens}");
            return error("needle_spans", required, format!("{span:?}"));
        }
    }
    Ok(())
}

/// The shapes of a layer's queries, and of its keys and values.
pub(super) fn layer_shapes(model: &Model, prompt: &Prompt) -> [[usize; 3]; 2] {
    let dim = model.geometry.head_dim as usize;
    [[model.heads.len(), prompt.queries() as usize, dim], [model.kv_heads.len(), prompt.tokens as usize, dim]]
}

/// The shape of a prompt's logits.
pub(super) fn logits_shape(model: &Model, prompt: &Prompt) -> [usize; 2] {
    [(prompt.tokens - prompt.prompt_tokens + 1) as usize, model.geometry.vocabulary as usize]
}

/// Checks that all tensors are there, of the types and shapes that the metadata states, and that both models know all tokens.
pub(super) fn tensors(capture: &Capture) -> Result<(), CalibrationError> {
    let metadata = capture.metadata();
    let values = capture.has_values();
    let has_logits = capture.has("target.prompts.0.logits");
    let vocabulary = metadata.models().map(|(_, model)| model.geometry.vocabulary).min().unwrap_or(0);
    for (number, prompt) in (0..).zip(&metadata.prompts) {
        for (role, model) in metadata.models() {
            let [queries, keys] = layer_shapes(model, prompt);
            for layer in &model.layers {
                let name = |what| format!("{role}.prompts.{number}.layers.{layer}.{what}");
                capture.require_tensor(&name("queries"), dtype(model.dtype), &queries)?;
                capture.require_tensor(&name("keys"), dtype(model.dtype), &keys)?;
                optional(
                    capture,
                    &name("values"),
                    dtype(model.dtype),
                    &keys,
                    values,
                    "values of every layer",
                )?;
            }
            let (name, shape) = (format!("{role}.prompts.{number}.logits"), logits_shape(model, prompt));
            optional(capture, &name, dtype(model.dtype), &shape, has_logits, "logits of every prompt")?;
        }
        let name = format!("prompts.{number}.tokens");
        capture.require_tensor(&name, Dtype::I32, &[prompt.tokens as usize])?;
        for token in capture.tokens(number)? {
            if u32::try_from(token).map_or(true, |token| token >= vocabulary) {
                let required = format!("from 0 to {}, in the vocabulary of every model", vocabulary - 1);
                return Err(FieldError::new(capture.name(), name, required, token).into());
            }
        }
    }
    let Some(ranking) = &metadata.ranking else { return Ok(()) };
    for (role, model) in metadata.models().filter(|_| !ranking.prompts.is_empty()) {
        let Geometry { layers, query_heads, .. } = model.geometry;
        let shape = [ranking.prompts.len(), layers as usize, query_heads as usize];
        capture.require_tensor(&format!("{role}.ranking.scores"), Dtype::F32, &shape)?;
    }
    Ok(())
}

/// Refuses a tensor of which there are some and not others.
fn optional(
    capture: &Capture,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
    expected: bool,
    all: &str,
) -> Result<(), CalibrationError> {
    match (expected, capture.has(name)) {
        (true, _) => capture.require_tensor(name, dtype, shape),
        (false, false) => Ok(()),
        (false, true) => {
            let required = format!("absent, or {all}");
            Err(FieldError::new(capture.name(), name, required, "there, but others are not").into())
        }
    }
}

const fn dtype(element: Element) -> Dtype {
    match element {
        Element::Bf16 => Dtype::BF16,
        Element::F16 => Dtype::F16,
        Element::F32 => Dtype::F32,
    }
}
