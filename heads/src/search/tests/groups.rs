//! Heads of one group are nearly free together.

use std::{collections::BTreeMap, fs};

use dustin::geometry::preset;

use super::*;
use crate::ranking::HeadRanking;

/// Microseconds of gathering from 16 sequences of 32k tokens, as measured on an NVIDIA H200: 4 heads on 4 KV
/// heads take 142.0, on one 42.8. That is 33.07 for each KV head; of the rest a tenth is taken for each head.
fn measured(rules: &Rules) -> f64 {
    let kv_heads = |it: &LayerHeads| it.heads.chunk_by(|a, b| a / 8 == b / 8).count();
    let heads: usize = counts(&rules.target_heads).iter().sum();
    let kv_heads: usize = rules.target_heads.iter().map(kv_heads).sum();
    9.33 + 33.07 * kv_heads as f64 + 0.1 * heads as f64
}

/// A layer of Qwen2.5-72B: 6 planted heads on one KV head, 4 on KV heads of their own, every fifth head a
/// decoy.
fn large(seed: u64) -> Synthetic {
    let plan = SyntheticPlan {
        target: ModelShape {
            geometry: preset("Qwen2.5-72B").unwrap(),
            layers: vec![40],
            planted: 10,
            placement: Placement::Together(6),
            decoys: 13,
        },
        draft: None,
        held_out: 12,
        searched: 12,
        ..tiny(seed)
    };
    Synthetic::new(&plan).unwrap()
}

/// CompressKV's scores, which know of no groups: best are the planted heads that lie apart, then those that
/// share a KV head, then decoys.
fn ranking(synthetic: &Synthetic) -> HeadRanking {
    let planted = &synthetic.target.planted[0].heads;
    let scores = (0..80).flat_map(|layer| (0..64).map(move |head| (layer, head))).map(|(layer, head)| {
        let mates = planted.iter().filter(|&planted| planted / 8 == head / 8).count();
        let score = match () {
            () if layer != 40 => 0.0,
            () if planted.contains(&head) && mates == 1 => 0.9,
            () if planted.contains(&head) => 0.8,
            () if synthetic.target.decoys[0].heads.contains(&head) => 0.7,
            () => 0.1,
        };
        (format!("{layer}-{head}"), vec![score])
    });
    let scores: BTreeMap<String, Vec<f64>> = scores.collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), serde_json::to_string(&scores).unwrap()).unwrap();
    HeadRanking::read_scores(file.path(), preset("Qwen2.5-72B").unwrap()).unwrap()
}

#[test]
fn heads_of_one_group_replace_the_rankings_at_less_than_half_the_time() {
    for seed in 0..3 {
        let synthetic = large(seed);
        let space = space_of(&synthetic.capture, &[40], 64);
        let rankings = Rankings { target: Some(ranking(&synthetic)), draft: None };
        let request = SearchRequest {
            start: Start::Ranking,
            objective: Objective::Front,
            ..SearchRequest::share(space, 1.0)
        };
        let mut judge = judge(&synthetic, PromptRole::Searched);
        let mut find = |request: &SearchRequest| {
            search(&mut judge, &mut measured, request, &rankings, &mut |_| ControlFlow::Continue(())).unwrap()
        };
        let front = find(&request);
        let ranked = &front.start;
        assert!((ranked.estimation_us - 142.0).abs() < 0.1);
        let half =
            front.front.iter().rev().find(|it| it.estimation_us <= ranked.estimation_us / 2.0).unwrap();
        // No worse where it was searched, and on prompts that were not.
        assert!(half.share_low >= ranked.share_low && half.share >= ranked.share);
        let mut held_out = super::judge(&synthetic, PromptRole::HeldOut);
        let [half, ranked] = [half, ranked].map(|it| held_out.rules(&it.rules).unwrap().mean());
        assert!(half >= ranked, "{seed}: {half} {ranked}");
        // The same share at least time.
        let share = SearchRequest { objective: Objective::Share(front.start.share_low), ..request };
        let found = find(&share);
        let chosen = found.chosen.unwrap();
        assert!(chosen.estimation_us <= front.start.estimation_us / 2.0);
    }
}
