//! Searches on captures made up from a seed.

mod exhaustive;
mod groups;
mod planted;
mod request;

use std::ops::ControlFlow;

use dustin::{geometry::Geometry, profile::LayerHeads, verifier::Rules};

use super::*;
use crate::{
    calibration::PromptRole,
    fidelity::StepPlan,
    synthetic::{ModelShape, Placement, PlantedHeads, Synthetic, SyntheticPlan},
};

const PLAN: StepPlan = StepPlan { gamma: 3, most: 12 };

/// Two layers of each model of 8 heads on 2 KV heads, 3 of the target's and 2 of the draft's planted, a
/// quarter decoys.
fn tiny(seed: u64) -> SyntheticPlan {
    let geometry = Geometry {
        layers: 4,
        query_heads: 8,
        kv_heads: 2,
        head_dim: 64,
        hidden: 512,
        intermediate: 1024,
        vocabulary: 1000,
    };
    let shape = |planted, decoys| ModelShape {
        geometry,
        layers: vec![1, 3],
        planted,
        placement: Placement::Anywhere,
        decoys,
    };
    SyntheticPlan {
        seed,
        target: shape(3, 4),
        draft: Some(shape(2, 4)),
        searched: 16,
        held_out: 0,
        prompt_tokens: 512,
        continuation: 52,
        decoy_share: 0.6,
    }
}

/// Sets of 32 tokens, of any heads of a tiny capture.
fn space(capture: &crate::Capture) -> SearchSpace {
    space_of(capture, &[1, 3], 8)
}

/// Of any heads of `layers`, of which each has so many.
fn space_of(capture: &crate::Capture, layers: &[u32], heads: u32) -> SearchSpace {
    let most_layers = layers.len() as u32;
    let all = HeadSpace { layers: layers.to_vec(), most_layers, most_heads: heads, candidates: heads };
    SearchSpace {
        target: all.clone(),
        draft: capture.metadata().draft.as_ref().map(|_| all),
        budgets: vec![32],
        quotas: vec![0],
        pooling: vec![1],
        sinks: vec![4],
        recent: vec![8],
    }
}

fn judge(synthetic: &Synthetic, role: PromptRole) -> Judge<'_> {
    let prompts = synthetic.capture.require_prompts(role).unwrap();
    Judge::new(&synthetic.capture, &prompts, PLAN, 1, 1 << 28).unwrap()
}

/// Of a layer: its launch, the KV heads that are read, the query heads.
fn modelled(rules: &Rules) -> f64 {
    let layers = rules.target_heads.iter().chain(&rules.draft_heads);
    let of = |it: &LayerHeads| {
        let mut kv_heads: Vec<u32> = it.heads.iter().map(|head| head / 4).collect();
        kv_heads.dedup();
        5.0 + 30.0 * kv_heads.len() as f64 + it.heads.len() as f64
    };
    layers.map(of).sum()
}

fn run(synthetic: &Synthetic, cost: &mut dyn Cost, request: &SearchRequest) -> Result<Found, SearchError> {
    let mut judge = judge(synthetic, PromptRole::Searched);
    search(&mut judge, cost, request, &Rankings::default(), &mut |_| ControlFlow::Continue(()))
}

fn counts(layers: &[LayerHeads]) -> Vec<usize> {
    layers.iter().map(|it| it.heads.len()).collect()
}
