//! A verification step of a capture as a verifier runs it: what a selection comes to behind the profile.
//!
//! A [`Judge`](crate::fidelity::Judge) gathers heads' maps one by one, to judge thousands of candidates. Here the stages of the library's
//! [`CpuVerifier`] run in their order, from captured queries to attention, on the captured keys and values as its caches.

use dustin::{
    InvalidInput,
    cpu::{
        AttentionRowArrays, CaptureRowArrays, CpuBackend, CpuVerifier, DraftArrays, OutputMut, SetArrays,
        StepArrays,
    },
    geometry::ModelShare,
    kv::PagedKv,
    profile::{CpuCatalogue, DeviceId, Tuned},
    select::arrays::SelectOutput,
    verifier::{self, Draft, DraftCache, Limits, Report, Rules, VerifierProblem},
};

use crate::{
    calibration::{Capture, Layer, Model, ModelRole, Prompt, Tensor},
    fidelity::{FidelityError, relative},
};

/// What a verifier made of a step.
#[derive(Clone, Debug)]
pub struct VerifiedStep {
    /// Confirmed tokens.
    pub length: u32,
    /// The set: ascending positions, or nothing if all tokens are read.
    pub set: Option<Vec<i32>>,
    /// By captured target layer, the output error of attention over the set, as [`fidelity`](crate::fidelity) has it. Nothing if
    /// values were not captured.
    pub output_errors: Option<Vec<f64>>,
    /// Which choice served each stage.
    pub report: Report,
}

/// Runs the first step of a prompt with `rules` and the choices of `tuned`, on a CPU of the model `device`.
///
/// # Errors
/// The prompt has no step of `gamma` draft tokens, not all heads of a model were captured, or the library refuses the rules.
pub fn verify_step(
    capture: &Capture,
    (prompt, gamma): (u32, u32),
    rules: &Rules,
    backend: CpuBackend,
    (tuned, device): (&Tuned<CpuCatalogue>, &DeviceId),
) -> Result<VerifiedStep, FidelityError> {
    capture.require_steps(prompt, gamma)?;
    let own = capture.prompt(prompt)?;
    let target = Side::read(capture, ModelRole::Target, prompt)?;
    let draft = match capture.metadata().draft {
        Some(_) => Some(Side::read(capture, ModelRole::Draft, prompt)?),
        None => None,
    };
    let limits = Limits {
        max_batch: 1,
        max_total_tokens: own.tokens,
        max_length: own.tokens,
        rows: gamma + 1,
        gamma,
        slots: 1,
    };
    let model = draft.as_ref().map(|draft| Draft { model: draft.problem, cache: DraftCache::Complete });
    let problem = VerifierProblem::new(target.problem, model, limits, rules.clone());
    let mut verifier = CpuVerifier::new(backend, &problem, tuned, device)?;

    // All steps from the first on are there: its confirmed tokens are the prompt's.
    let length = own.prompt_tokens;
    let (lengths, table): ([i32; 1], Vec<i32>) =
        ([length.cast_signed()], (0..own.tokens.cast_signed()).collect());
    let width = u64::from(own.tokens);
    let step = StepArrays {
        lengths: &lengths,
        row_starts: &[0, (gamma + 1).cast_signed()],
        block_table: &table,
        table_stride: width,
        map_starts: &[0, length.cast_signed()],
        slots: &[0],
        draft: DraftArrays { lengths: &lengths, block_table: &table, table_stride: width, slots: None },
        masks: &[],
    };
    let sizes = verifier.sizes();
    let [mut target_map, mut draft_map] =
        [sizes.target_map, sizes.draft_map].map(|size| vec![0.0; size as usize]);
    if verifier.stages().target_score.is_read() {
        let mut queries = vec![0; sizes.target_queries as usize];
        for layer in layers(&verifier.stages().target_captured) {
            let rows = target.rows(own, layer, length - 1)?;
            verifier.capture_target(layer, &rows.arrays(), &mut queries)?;
        }
        verifier.score_target(&step, &queries, &target.keys(), &mut target_map)?;
    }
    if let (true, Some(draft)) = (verifier.stages().draft_score.is_read(), &draft) {
        let mut queries = vec![0; sizes.draft_queries as usize];
        for layer in layers(&verifier.stages().draft_captured) {
            for token in 0..gamma {
                let rows = draft.rows(own, layer, length + token)?;
                verifier.capture_draft(layer, token, &rows.arrays(), &mut queries)?;
            }
        }
        verifier.score_draft(&step, &queries, &draft.keys(), &mut draft_map)?;
    }
    let (mut set, mut set_sizes) = (vec![-1; sizes.set as usize], vec![0; sizes.set_sizes as usize]);
    let [target_map, draft_map] = [&target_map, &draft_map].map(|map| (!map.is_empty()).then_some(&map[..]));
    let output = SelectOutput { set: &mut set, physical: None, set_sizes: &mut set_sizes };
    verifier.select(&step, target_map, draft_map, output)?;
    let output_errors =
        target.output_errors(&mut verifier, &step, own, &SetArrays { set: &set, set_sizes: &set_sizes })?;
    if let Some((stage, fault, _)) = verifier.status().first() {
        return Err(invalid("capture", "without faults", format!("{fault:?} in {stage}")));
    }
    // The flag EVERYTHING is negative.
    let size = set_sizes.first().and_then(|&size| usize::try_from(size).ok());
    let set = size.map(|size| set.into_iter().take(size).collect());
    Ok(VerifiedStep { length, set, output_errors, report: verifier.report().clone() })
}

fn layers(captured: &verifier::Captured) -> Vec<u32> {
    captured.layers.iter().map(|own| own.layer).collect()
}

/// A model whose captured tensors are its caches, in pages of one token.
struct Side<'a> {
    model: &'a Model,
    problem: verifier::Model,
    /// By layer of the whole model, where it was captured: the layer and its keys' items.
    layers: Vec<Option<(Layer, Vec<u16>)>>,
}

/// A layer's queries from one position on.
struct Rows {
    items: Vec<u16>,
    strides: [u64; 2],
}

impl Rows {
    /// The first of them, as a forward of one row.
    fn arrays(&self) -> CaptureRowArrays<'_> {
        let [query_row, query_head] = self.strides;
        let (query, row_starts) = (&self.items[..], &[0, 1]);
        CaptureRowArrays { query, query_row, query_head, total_rows: 1, row_starts, rows: None, slots: None }
    }
}

impl<'a> Side<'a> {
    fn read(capture: &'a Capture, role: ModelRole, prompt: u32) -> Result<Self, FidelityError> {
        let model = capture.model(role)?;
        let geometry = model.geometry;
        let all = geometry.query_heads as usize;
        if model.heads.len() != all {
            let required = format!("all {all} of the {role} model, as a verifier runs all heads of a layer");
            return Err(invalid("heads", &required, model.heads.len().to_string()));
        }
        let mut layers: Vec<Option<(Layer, Vec<u16>)>> = (0..geometry.layers).map(|_| None).collect();
        for &number in &model.layers {
            let layer = capture.layer(role, prompt, number)?;
            let keys = items(&layer.keys);
            layers[number as usize] = Some((layer, keys));
        }
        let positions = capture.prompt(prompt)?.tokens;
        let stride = u64::from(geometry.head_dim);
        let kv = PagedKv {
            pages: positions,
            page_size: 1,
            kv_heads: geometry.kv_heads,
            head_dim: geometry.head_dim,
            page_stride: stride,
            token_stride: stride,
            kv_head_stride: stride * u64::from(positions),
        };
        let dtype = layers
            .iter()
            .flatten()
            .map(|(layer, _)| layer.keys.dtype())
            .next()
            .unwrap_or(dustin::Dtype::Bf16);
        let scale = model.scale as f32;
        let problem =
            verifier::Model { scale, ..verifier::Model::new(ModelShare::whole(geometry), kv, dtype) };
        Ok(Self { model, problem, layers })
    }

    /// The key caches of all layers; none of those that were not captured.
    fn keys(&self) -> Vec<&[u16]> {
        self.layers.iter().map(|layer| layer.as_ref().map_or(&[][..], |(_, keys)| keys)).collect()
    }

    /// The queries of `layer` from `position` on.
    fn rows(&self, prompt: &Prompt, layer: u32, position: u32) -> Result<Rows, FidelityError> {
        let Some(Some((layer, _))) = self.layers.get(layer as usize) else {
            return Err(invalid("rules", "of captured layers", format!("layer {layer}")));
        };
        let [_, rows, dim] = layer.queries.shape();
        let first = position.saturating_sub(prompt.first_query) as usize * dim;
        Ok(Rows { items: items(&layer.queries).split_off(first), strides: [dim as u64, (rows * dim) as u64] })
    }

    /// By captured layer, the output error of attention over the sets.
    fn output_errors(
        &self,
        verifier: &mut CpuVerifier,
        step: &StepArrays<'_>,
        prompt: &Prompt,
        sets: &SetArrays<'_>,
    ) -> Result<Option<Vec<f64>>, FidelityError> {
        let geometry = self.model.geometry;
        let (head, row) = (u64::from(geometry.head_dim), u64::from(geometry.head_dim * geometry.query_heads));
        let items_out = verifier.stages().attention.total_rows as usize * row as usize;
        let mut errors = Vec::new();
        for (number, layer) in (0..).zip(&self.layers) {
            let Some((layer, key)) = layer else { continue };
            let Some(values) = &layer.values else { return Ok(None) };
            let queries = self.rows(prompt, number, prompt.prompt_tokens)?;
            let value = items(values);
            let [query_row, query_head] = queries.strides;
            let rows = AttentionRowArrays {
                query: &queries.items,
                key,
                value: &value,
                query_row,
                query_head,
                output_row: row,
                output_head: head,
            };
            let [mut sparse, mut full] = [vec![0.0_f32; items_out], vec![0.0; items_out]];
            verifier.attention(step, sets, &rows, OutputMut::F32(&mut sparse), None)?;
            verifier.full_attention(step, &rows, OutputMut::F32(&mut full), None)?;
            let dim = geometry.head_dim as usize;
            let outputs = full.chunks(dim).zip(sparse.chunks(dim)).map(relative);
            errors.push(outputs.sum::<f64>() / (items_out / dim) as f64);
        }
        Ok(Some(errors))
    }
}

/// That `field` is not as `required`.
fn invalid(field: &'static str, required: &str, actual: String) -> FidelityError {
    InvalidInput { operation: "verification step", field, required: required.to_owned(), actual }.into()
}

/// All items of a tensor, as a 16-bit cache holds them.
fn items(tensor: &Tensor) -> Vec<u16> {
    tensor.bits(0..tensor.shape()[0]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dustin::profile::LayerHeads;

    use super::*;
    use crate::fidelity::{Judge, StepPlan};

    const GAMMA: u32 = 3;

    #[test]
    fn a_verifier_chooses_the_sets_that_were_judged() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/calibration.safetensors");
        let capture = Capture::open(Path::new(path)).unwrap();
        let heads = |layer, heads: &[u32]| LayerHeads { layer, heads: heads.to_vec() };
        let target =
            Rules { sinks: 1, recent: 2, ..Rules::by_target(vec![heads(0, &[1]), heads(1, &[2, 3])], 14) };
        let both = target.clone().with_draft(vec![heads(1, &[0, 1])], 6);
        let by_draft = Rules { m: 14, target_heads: Vec::new(), ..both.clone() };
        let everything = Rules { everything: 1000, ..both.clone() };
        let prompts: Vec<u32> = (0..6).collect();
        let mut judge = Judge::new(&capture, &prompts, StepPlan { gamma: GAMMA, most: 1 }, 1, 0).unwrap();
        for rules in [target, both, by_draft, everything] {
            let judged = judge.sets(&rules).unwrap();
            let expected = judge.output_errors(&[&judged]).unwrap().remove(0);
            for (index, judged) in judged.prompts.iter().enumerate() {
                let backend = CpuBackend::new(1).unwrap();
                let tuned = Tuned::new([], CpuCatalogue { limits: backend.limits() });
                let device = DeviceId::cpu("any");
                let prompt = judged.prompt();
                let step =
                    verify_step(&capture, (prompt, GAMMA), &rules, backend, (&tuned, &device)).unwrap();
                assert_eq!(step.set.as_deref(), judged.positions(0), "{rules:?} on prompt {prompt}");
                let errors = step.output_errors.unwrap();
                let expected = &expected.prompts[index].layers;
                assert_eq!((errors.len(), expected.len()), (3, 3));
                for (error, expected) in errors.iter().zip(expected) {
                    assert!((error - expected).abs() < 1e-5, "{error} {expected}");
                    assert_eq!(*error > 1e-3, rules.everything == 0, "{error}");
                }
            }
        }
    }
}
