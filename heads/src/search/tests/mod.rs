//! Searches on captures made up from a seed.

use std::ops::ControlFlow;

use dustin::{geometry::Geometry, verifier::Rules};

use super::*;
use crate::{
    calibration::PromptRole,
    fidelity::StepPlan,
    synthetic::{ModelShape, Placement, Synthetic, SyntheticPlan},
};

const PLAN: StepPlan = StepPlan { gamma: 3, most: 4 };

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
        searched: 6,
        held_out: 6,
        prompt_tokens: 384,
        continuation: 32,
        decoy_share: 0.75,
    }
}

/// A layer's launch, its KV heads, its heads.
fn modelled(rules: &Rules) -> f64 {
    let side = |layers: &[dustin::profile::LayerHeads]| {
        let of = |it: &dustin::profile::LayerHeads| {
            let mut kv_heads: Vec<u32> = it.heads.iter().map(|head| head / 4).collect();
            kv_heads.dedup();
            5.0 + 30.0 * kv_heads.len() as f64 + it.heads.len() as f64
        };
        layers.iter().map(of).sum::<f64>()
    };
    side(&rules.target_heads) + side(&rules.draft_heads)
}

#[test]
fn the_start_is_the_recipe_within_the_space() {
    let synthetic = Synthetic::new(&tiny(0)).unwrap();
    let prompts = synthetic.capture.require_prompts(PromptRole::Searched).unwrap();
    let mut judge = Judge::new(&synthetic.capture, &prompts, PLAN, 2, 1 << 26).unwrap();
    let request = SearchRequest::share(SearchSpace::of_capture(&synthetic.capture, 64).unwrap(), 0.9);
    let found =
        search(&mut judge, &mut modelled, &request, &Rankings::default(), &mut |_| ControlFlow::Continue(()))
            .unwrap();
    let heads =
        |layers: &[dustin::profile::LayerHeads]| layers.iter().map(|it| it.heads.len()).collect::<Vec<_>>();
    assert_eq!(heads(&found.start.rules.target_heads), [4]);
    // Two draft layers were captured.
    assert_eq!(heads(&found.start.rules.draft_heads), [4, 4]);
    assert_eq!((found.start.rules.k, found.start.rules.m), (64, 32));
    assert_eq!(found.start.estimation_us, modelled(&found.start.rules));
    assert!(found.start.share_low < found.start.share && found.best.share_low >= found.start.share_low);
}
