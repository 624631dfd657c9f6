//! Searches on captures made up from a seed.

mod exhaustive;
mod groups;
mod planted;
mod request;

use std::ops::ControlFlow;

use dustin::{profile::LayerHeads, verifier::Rules};

use super::*;
use crate::{
    calibration::PromptRole,
    fidelity::StepPlan,
    synthetic::{self, ModelShape, Placement, PlantedHeads, Synthetic, SyntheticPlan},
};

const PLAN: StepPlan = StepPlan { gamma: 3, most: 12 };

/// As captures are tested with, with more to search by.
fn tiny(seed: u64) -> SyntheticPlan {
    SyntheticPlan {
        searched: 16,
        held_out: 0,
        prompt_tokens: 512,
        continuation: 52,
        decoy_share: 0.6,
        ..synthetic::tests::tiny(seed)
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
