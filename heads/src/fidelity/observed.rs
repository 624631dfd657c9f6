//! What is known of a prompt before any candidate: its steps, and the full attention of their rows.

use dustin::cpu::CpuBackend;

use super::{
    FidelityError, StepPlan,
    attend::{Heads, gather},
    steps::Packed,
};
use crate::calibration::{Capture, Layer, Model, ModelRole};

/// The judged steps of one prompt.
#[derive(Debug)]
pub(super) struct Observed {
    /// Its number.
    pub(super) prompt: u32,
    /// The steps' confirmed positions: how maps of the prompt are packed.
    pub(super) steps: Packed,
    /// By target layer: the mean attention of all heads and all γ + 1 rows to the confirmed positions, packed.
    pub(super) attention: Vec<Vec<f32>>,
}

impl Observed {
    /// Reads each layer of the target once, and says so after each.
    pub(super) fn new(
        capture: &Capture,
        backend: &mut CpuBackend,
        plan: StepPlan,
        prompt: u32,
        read: &mut dyn FnMut() -> Result<(), FidelityError>,
    ) -> Result<Self, FidelityError> {
        let model = capture.model(ModelRole::Target)?;
        let first_query = capture.prompt(prompt)?.first_query;
        let steps = Packed::of_steps(prompt, &plan.lengths(capture, prompt)?)?;
        let mut attention = Vec::new();
        for &layer in &model.layers {
            let layer = capture.layer(ModelRole::Target, prompt, layer)?;
            let mut mean = vec![0.0; steps.positions()];
            each_group(model, &layer, |_, heads| {
                add_attention(backend, heads, plan, first_query, &steps, model.heads.len(), &mut mean)
            })?;
            attention.push(mean);
            read()?;
        }
        Ok(Self { prompt, steps, attention })
    }
}

/// Adds to `mean`, packed as `steps`, the full attention of `heads` and all rows of each step to the confirmed positions: their share of
/// the mean over `all_heads` heads.
pub(super) fn add_attention(
    backend: &mut CpuBackend,
    heads: &Heads<'_>,
    plan: StepPlan,
    first_query: u32,
    steps: &Packed,
    all_heads: usize,
    mean: &mut [f32],
) -> Result<(), dustin::InvalidInput> {
    let rows = plan.gamma + 1;
    let weight = 1.0 / (all_heads as f32 * rows as f32);
    // A step at a time: there is a logit for each of its rows, heads and positions.
    for (&length, &start) in steps.lengths.iter().zip(&steps.starts) {
        let length = length.cast_unsigned();
        let sequences = Packed::new((0..rows).map(|row| length + row + 1));
        let slots: Vec<i32> = (0..rows).map(|row| (length + row - first_query).cast_signed()).collect();
        let mut map = vec![0.0; sequences.positions()];
        gather(backend, heads, &slots, 1, &sequences, weight, &mut map)?;
        let mean = &mut mean[start as usize..][..length as usize];
        for row in sequences.parts(&map) {
            mean.iter_mut().zip(row).for_each(|(sum, probability)| *sum += probability);
        }
    }
    Ok(())
}

/// Calls `visit` for each KV head that was kept: its row among them, and the heads that read it.
pub(super) fn each_group(
    model: &Model,
    layer: &Layer,
    mut visit: impl FnMut(usize, &Heads<'_>) -> Result<(), dustin::InvalidInput>,
) -> Result<(), dustin::InvalidInput> {
    let groups = model.heads.chunk_by(|&a, &b| model.kv_head_of(a) == model.kv_head_of(b));
    let mut first = 0;
    for (kv_row, group) in groups.enumerate() {
        let keys = layer.keys.bits(kv_row..kv_row + 1);
        let queries = layer.queries.bits(first..first + group.len());
        visit(kv_row, &heads_of(model, layer, &keys, &queries, group.len() as u32))?;
        first += group.len();
    }
    Ok(())
}

/// `heads` heads of a layer, with the keys that they read.
pub(super) fn heads_of<'a>(
    model: &Model,
    layer: &Layer,
    keys: &'a [u16],
    queries: &'a [u16],
    heads: u32,
) -> Heads<'a> {
    Heads {
        keys,
        queries,
        heads,
        rows: layer.queries.shape()[1] as u32,
        dim: model.geometry.head_dim,
        dtype: layer.keys.dtype(),
        scale: model.scale as f32,
    }
}
