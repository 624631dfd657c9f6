//! Importance maps of single heads, kept: a candidate then costs additions and a selection.

use std::{collections::HashMap, sync::Arc};

use dustin::cpu::CpuBackend;

use super::{
    FidelityError, StepPlan,
    attend::gather,
    error::invalid,
    observed::{Observed, each_group, heads_of},
};
use crate::calibration::{Capture, Layer, ModelRole};

/// Which head's map of which prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    role: ModelRole,
    prompt: u32,
    layer: u32,
    head: u32,
}

/// Maps of heads over the confirmed positions of a prompt's steps, packed.
#[derive(Debug)]
pub(super) struct HeadMaps {
    kept: HashMap<Place, Arc<[f32]>>,
    /// Positions that there is still room for.
    room: usize,
}

impl HeadMaps {
    /// Room for maps of `bytes` bytes; what does not fit is gathered each time that it is asked for.
    pub(super) fn new(bytes: usize) -> Self {
        Self { kept: HashMap::new(), room: bytes / size_of::<f32>() }
    }

    /// Of `layer` of `prompt`, the maps of `heads`: the mean of the probabilities of the queries that the library captures for a
    /// step. A layer is read once for all heads that are not kept.
    pub(super) fn of_layer(
        &mut self,
        capture: &Capture,
        backend: &mut CpuBackend,
        plan: StepPlan,
        observed: &Observed,
        (role, layer): (ModelRole, u32),
        heads: &[u32],
    ) -> Result<Vec<Arc<[f32]>>, FidelityError> {
        let model = capture.model(role)?;
        let rows = heads.iter().map(|head| model.heads.binary_search(head));
        let (Ok(rows), Ok(_)) = (rows.collect::<Result<Vec<_>, _>>(), model.layers.binary_search(&layer))
        else {
            let required = format!("captured heads of captured layers of the {role} model");
            return Err(invalid("heads", required, format!("heads {heads:?} of layer {layer}")));
        };
        let place = |head: u32| Place { role, prompt: observed.prompt, layer, head };
        let mut read: Option<Layer> = None;
        let mut maps = Vec::new();
        for (&head, row) in heads.iter().zip(rows) {
            if let Some(map) = self.kept.get(&place(head)) {
                maps.push(map.clone());
                continue;
            }
            let tensors = match &read {
                Some(tensors) => tensors,
                None => read.insert(capture.layer(role, observed.prompt, layer)?),
            };
            let kv_row = model.kv_heads.partition_point(|&kv_head| kv_head < model.kv_head_of(head));
            let keys = tensors.keys.bits(kv_row..kv_row + 1);
            let queries = tensors.queries.bits(row..row + 1);
            let (first_rows, tokens) = captured_rows(capture, plan, observed, role)?;
            let mut map = vec![0.0; observed.steps.positions()];
            let weight = 1.0 / tokens as f32;
            let heads = heads_of(model, tensors, &keys, &queries, 1);
            gather(backend, &heads, &first_rows, tokens, &observed.steps, weight, &mut map)?;
            let map: Arc<[f32]> = map.into();
            if let Some(room) = self.room.checked_sub(map.len()) {
                self.room = room;
                self.kept.insert(place(head), map.clone());
            }
            maps.push(map);
        }
        Ok(maps)
    }
}

/// The mean map of all captured heads of all captured layers of the target.
pub(super) fn full_head_map(
    capture: &Capture,
    backend: &mut CpuBackend,
    plan: StepPlan,
    observed: &Observed,
) -> Result<Vec<f32>, FidelityError> {
    let role = ModelRole::Target;
    let model = capture.model(role)?;
    let (first_rows, tokens) = captured_rows(capture, plan, observed, role)?;
    let weight = 1.0 / (model.layers.len() as f32 * model.heads.len() as f32);
    let mut map = vec![0.0; observed.steps.positions()];
    for &layer in &model.layers {
        let layer = capture.layer(role, observed.prompt, layer)?;
        each_group(model, &layer, |_, heads| {
            gather(backend, heads, &first_rows, tokens, &observed.steps, weight, &mut map)
        })?;
    }
    Ok(map)
}

/// The first row of each step's captured queries, and how many there are: of the target that of the last confirmed position, of the
/// draft those of its γ forwards, which begin at the first position that is not confirmed.
fn captured_rows(
    capture: &Capture,
    plan: StepPlan,
    observed: &Observed,
    role: ModelRole,
) -> Result<(Vec<i32>, u32), FidelityError> {
    let first_query = capture.prompt(observed.prompt)?.first_query.cast_signed();
    let (back, tokens) = match role {
        ModelRole::Target => (1, 1),
        ModelRole::Draft => (0, plan.gamma),
    };
    Ok((observed.steps.lengths.iter().map(|length| length - back - first_query).collect(), tokens))
}
