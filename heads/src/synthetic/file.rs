//! The capture as a safetensors file in memory.

use std::collections::HashMap;

use dustin::geometry::Geometry;
use half::bf16;
use rand::RngExt;
use rayon::prelude::*;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    ModelShape, SyntheticError, SyntheticPlan,
    layer::{Place, keys, queries},
    roles, scene,
};
use crate::calibration::{
    Continuation, Element, METADATA, Metadata, Model, ModelRole, Prompt, PromptRole, VERSION,
};

/// The prompt's last queries that are kept.
const OBSERVED: u32 = 16;

/// A tensor by its name.
struct Named {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The file's bytes.
pub(super) fn bytes(plan: &SyntheticPlan) -> Result<Vec<u8>, SyntheticError> {
    plan.validate()?;
    let mut tensors: Vec<Named> = (0..plan.prompts()).map(|prompt| tokens(plan, prompt)).collect();
    for (model, shape) in plan.models() {
        let roles = roles::choose(plan, model, shape);
        let layers = 0..shape.layers.len();
        let places: Vec<Place> = (0..plan.prompts())
            .flat_map(|prompt| layers.clone().map(move |layer| Place { model, prompt, layer }))
            .collect();
        tensors.par_extend(places.into_par_iter().flat_map_iter(|place| layer(plan, shape, &roles, place)));
    }
    let text = serde_json::to_string(&metadata(plan)).map_err(safetensors::SafeTensorError::from)?;
    let views =
        tensors.iter().map(|it| Ok((&it.name, TensorView::new(it.dtype, it.shape.clone(), &it.bytes)?)));
    let views = views.collect::<Result<Vec<_>, SyntheticError>>()?;
    Ok(safetensors::serialize(views, Some(HashMap::from([(METADATA.to_owned(), text)])))?)
}

fn tokens(plan: &SyntheticPlan, prompt: u32) -> Named {
    let mut rng = plan.random(&[5, prompt]);
    let vocabulary = plan.models().map(|(_, shape)| shape.geometry.vocabulary).min().unwrap_or(0).max(1);
    let count = plan.prompt_tokens + plan.continuation;
    Named {
        name: format!("prompts.{prompt}.tokens"),
        dtype: Dtype::I32,
        shape: vec![count as usize],
        bytes: (0..count).flat_map(|_| rng.random_range(0..vocabulary).to_le_bytes()).collect(),
    }
}

fn layer(plan: &SyntheticPlan, shape: &ModelShape, roles: &roles::Roles, place: Place) -> [Named; 2] {
    let Geometry { query_heads, kv_heads, head_dim, .. } = shape.geometry;
    let kinds = scene::kinds(plan, place.prompt);
    let first = plan.prompt_tokens - OBSERVED;
    let rows = [first, kinds.len() as u32];
    let named = |what: &str, heads: u32, rows: usize, items: Vec<bf16>| Named {
        name: format!("{}.prompts.{}.layers.{}.{what}", place.model, place.prompt, shape.layers[place.layer]),
        dtype: Dtype::BF16,
        shape: vec![heads as usize, rows, head_dim as usize],
        bytes: items.into_iter().flat_map(|item| item.to_bits().to_le_bytes()).collect(),
    };
    [
        named("queries", query_heads, (rows[1] - first) as usize, queries(plan, shape, place, roles, rows)),
        named("keys", kv_heads, kinds.len(), keys(plan, shape, place, &kinds)),
    ]
}

fn metadata(plan: &SyntheticPlan) -> Metadata {
    let prompt = |number: u32| Prompt {
        name: format!("synthetic-{number}"),
        role: if number < plan.searched { PromptRole::Searched } else { PromptRole::HeldOut },
        tokens: plan.prompt_tokens + plan.continuation,
        prompt_tokens: plan.prompt_tokens,
        first_query: plan.prompt_tokens - OBSERVED,
        continuation: Continuation::Forced,
        needle_spans: Vec::new(),
        needle_recall: None,
    };
    let digest = Sha256::digest(format!("{plan:?}"));
    Metadata {
        version: VERSION,
        capture: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        producer: [("dustin-heads".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
        target: model(ModelRole::Target, &plan.target),
        draft: plan.draft.as_ref().map(|shape| model(ModelRole::Draft, shape)),
        prompts: (0..plan.prompts()).map(prompt).collect(),
        ranking: None,
    }
}

fn model(role: ModelRole, shape: &ModelShape) -> Model {
    let geometry = shape.geometry;
    Model {
        name: format!("synthetic-{role}"),
        geometry,
        dtype: Element::Bf16,
        scale: 1.0 / f64::from(geometry.head_dim).sqrt(),
        rotary: json!({"type": "synthetic"}),
        layers: shape.layers.clone(),
        heads: (0..geometry.query_heads).collect(),
        kv_heads: (0..geometry.kv_heads).collect(),
        config: json!({
            "model_type": "llama",
            "num_hidden_layers": geometry.layers,
            "num_attention_heads": geometry.query_heads,
            "num_key_value_heads": geometry.kv_heads,
            "head_dim": geometry.head_dim,
            "hidden_size": geometry.hidden,
            "intermediate_size": geometry.intermediate,
            "vocab_size": geometry.vocabulary,
        }),
    }
}
