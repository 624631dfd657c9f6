//! Importance maps of single heads, kept: a candidate then costs additions and a selection.

use std::sync::Arc;

use dustin::cpu::CpuBackend;
use lru::LruCache;

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
    kept: LruCache<Place, Arc<[f32]>>,
    /// Positions that there is room for.
    most: usize,
    /// Those that are kept.
    held: usize,
}

impl HeadMaps {
    /// Room for maps of `bytes` bytes. What was asked for longest ago gives way, and is gathered again when it is asked for.
    pub(super) fn new(bytes: usize) -> Self {
        Self { kept: LruCache::unbounded(), most: bytes / size_of::<f32>(), held: 0 }
    }

    /// Keeps a map, if it fits at all.
    fn keep(&mut self, place: Place, map: Arc<[f32]>) {
        if map.len() > self.most {
            return;
        }
        while self.held + map.len() > self.most
            && let Some((_, oldest)) = self.kept.pop_lru()
        {
            self.held -= oldest.len();
        }
        self.held += map.len();
        self.kept.put(place, map);
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
            self.keep(place(head), map.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_longest_ago_gives_way_and_what_is_too_large_is_not_kept() {
        let place = |head| Place { role: ModelRole::Target, prompt: 0, layer: 0, head };
        let map = |positions: usize| vec![0.0; positions].into();
        let mut maps = HeadMaps::new(10 * size_of::<f32>());
        maps.keep(place(0), map(4));
        maps.keep(place(1), map(4));
        assert!(maps.kept.get(&place(0)).is_some());
        maps.keep(place(2), map(4));
        maps.keep(place(3), map(11));
        let kept = [0, 1, 2, 3].map(|head| maps.kept.contains(&place(head)));
        assert_eq!((kept, maps.held), ([true, false, true, false], 8));
        maps.keep(place(4), map(10));
        assert_eq!((maps.kept.len(), maps.held), (1, 10));
    }
}
