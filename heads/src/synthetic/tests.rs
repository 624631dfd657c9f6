//! What captures made up have to be.

use std::collections::BTreeSet;

use dustin::{
    geometry::{Geometry, preset},
    profile::LayerHeads,
    verifier::Rules,
};

use super::*;
use crate::{
    calibration::PromptRole,
    fidelity::{Estimate, Judge, PromptSets, StepPlan},
};

/// Two layers of each model of 8 heads on 2 KV heads, 3 of the target's and 2 of the draft's planted, a
/// quarter decoys.
pub(crate) fn tiny(seed: u64) -> SyntheticPlan {
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
        searched: 4,
        held_out: 4,
        prompt_tokens: 384,
        continuation: 32,
        decoy_share: 0.75,
    }
}

#[test]
fn a_seed_gives_the_same_capture_again_and_another_one_another() {
    let bytes = tiny(1).to_bytes().unwrap();
    assert!(tiny(1).to_bytes().unwrap() == bytes);
    assert!(tiny(2).to_bytes().unwrap() != bytes);
    let synthetic = Synthetic::new(&tiny(1)).unwrap();
    assert_eq!(synthetic.capture.require_prompts(PromptRole::HeldOut).unwrap(), [4, 5, 6, 7]);
    let count = |layers: &[LayerHeads]| layers.iter().map(|layer| layer.heads.len()).sum::<usize>();
    assert_eq!((count(&synthetic.target.planted), count(&synthetic.target.decoys)), (3, 4));
    assert_eq!(count(&synthetic.draft.unwrap().planted), 2);
}

#[test]
fn planted_heads_share_a_kv_head_where_that_is_asked_for() {
    for seed in 0..20 {
        let mut plan = tiny(seed);
        plan.target = ModelShape { planted: 5, placement: Placement::Together(3), ..plan.target };
        let synthetic = Synthetic::new(&plan).unwrap();
        let mut groups: Vec<(u32, u32)> = Vec::new();
        for LayerHeads { layer, heads } in &synthetic.target.planted {
            groups.extend(heads.iter().map(|head| (*layer, head / 4)));
        }
        let mut sizes: Vec<usize> = groups.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 1, 3], "{seed}");
    }
}

#[test]
fn attention_has_sinks_is_near_and_drifts() {
    let mut shared = [0; 3];
    for seed in 0..4 {
        let plan = SyntheticPlan { continuation: 48, ..tiny(seed) };
        let synthetic = Synthetic::new(&plan).unwrap();
        let steps = StepPlan { gamma: 3, most: 11 };
        let mut judge = Judge::new(&synthetic.capture, &[0, 1, 2, 3], steps, 2, 0).unwrap();
        // What some sinks and recent tokens have for each of them.
        let mut each = |sinks: u32, recent: u32| {
            let rules = Rules { sinks, recent, ..Rules::by_target(Vec::new(), sinks + recent) };
            judge.rules(&rules).unwrap().mean() / f64::from(sinks + recent)
        };
        let [sink, near, far] = [each(4, 0), each(0, 8), each(0, 300)];
        assert!(sink > 10.0 * far && near > 2.0 * far, "{seed}: {sink} {near} {far}");
        // What matters most besides to a step, its next ones share ever less.
        let rules = Rules { sinks: 4, recent: 24, ..Rules::by_target(Vec::new(), 40) };
        let sets = judge.estimated_sets(Estimate::Oracle, &rules).unwrap();
        let of = |prompt: &PromptSets, step: usize| -> BTreeSet<i32> {
            let chosen = prompt.positions(step).unwrap().iter().copied();
            chosen.filter(|position| (4..350).contains(position)).collect()
        };
        for (shared, step) in shared.iter_mut().zip([0, 1, 10]) {
            let of_both = |prompt| of(prompt, 0).intersection(&of(prompt, step)).count();
            *shared += sets.prompts.iter().map(of_both).sum::<usize>();
        }
    }
    let [first, second, last] = shared;
    assert!(3 * second > first && 10 * last < first, "{first} {second} {last}");
}

/// The mean recovery rates, each head alone, of planted heads, decoys and ordinary heads.
fn rates(synthetic: &Synthetic, role: PromptRole) -> [f64; 3] {
    let prompts = synthetic.capture.require_prompts(role).unwrap();
    let plan = StepPlan { gamma: 3, most: 4 };
    let mut judge = Judge::new(&synthetic.capture, &prompts, plan, 2, 1 << 24).unwrap();
    let PlantedHeads { planted, decoys } = &synthetic.target;
    let among = |layers: &[LayerHeads], layer, head| {
        layers.iter().any(|it: &LayerHeads| it.layer == layer && it.heads.contains(&head))
    };
    let mut sums = [[0.0, 0.0]; 3];
    for layer in [1, 3] {
        for head in 0..8 {
            let heads = vec![LayerHeads { layer, heads: vec![head] }];
            let rules = Rules { sinks: 4, recent: 16, ..Rules::by_target(heads, 40) };
            let kind = match () {
                () if among(planted, layer, head) => 0,
                () if among(decoys, layer, head) => 1,
                () => 2,
            };
            let [sum, count] = &mut sums[kind];
            *sum += judge.rules(&rules).unwrap().mean();
            *count += 1.0;
        }
    }
    sums.map(|[sum, count]| sum / count)
}

#[test]
fn planted_heads_are_better_by_little_and_decoys_only_where_heads_are_chosen() {
    for seed in 0..8 {
        let synthetic = Synthetic::new(&tiny(seed)).unwrap();
        let [planted, decoys, ordinary] = rates(&synthetic, PromptRole::Searched);
        assert!(decoys > ordinary + 0.6 * (planted - ordinary), "{seed}: {planted} {decoys} {ordinary}");
        let [planted, decoys, ordinary] = rates(&synthetic, PromptRole::HeldOut);
        let gap = planted - ordinary;
        assert!(gap > 0.01 && gap <= 0.1, "{seed}: {planted} {ordinary}");
        assert!((decoys - ordinary).abs() < 0.4 * gap, "{seed}: {planted} {decoys} {ordinary}");
    }
}

#[test]
fn few_layers_of_a_large_model_are_made_up_too() {
    let shape = |name, layers: &[u32]| ModelShape {
        geometry: preset(name).unwrap(),
        layers: layers.to_vec(),
        planted: 8,
        placement: Placement::Anywhere,
        decoys: 14,
    };
    let plan = SyntheticPlan {
        target: shape("Qwen2.5-72B", &[40]),
        draft: Some(shape("Qwen2.5-0.5B", &[11, 12])),
        searched: 1,
        held_out: 1,
        ..tiny(3)
    };
    let synthetic = Synthetic::new(&plan).unwrap();
    assert_eq!(synthetic.capture.metadata().target.geometry, preset("Qwen2.5-72B").unwrap());
    let layer = synthetic.capture.layer(ModelRole::Target, 1, 40).unwrap();
    assert_eq!((layer.queries.shape(), layer.keys.shape()), ([64, 48, 128], [8, 416, 128]));
    let judge = Judge::new(&synthetic.capture, &[1], StepPlan { gamma: 4, most: 2 }, 2, 0).unwrap();
    assert!((0.5..1.0).contains(&judge.ceiling().mean()));
}

#[test]
fn plans_that_make_no_capture_are_refused_by_name() {
    let message = |change: fn(&mut SyntheticPlan)| {
        let mut plan = tiny(0);
        change(&mut plan);
        plan.to_bytes().map(|_| ()).and_then(|()| Synthetic::new(&plan).map(|_| ())).unwrap_err().to_string()
    };
    assert!(message(|plan| plan.searched = 0).contains("searched must be from 1"));
    assert!(message(|plan| plan.prompt_tokens = 100).contains("prompt_tokens must be from 256"));
    assert!(message(|plan| plan.continuation = 0).contains("continuation"));
    assert!(message(|plan| plan.searched = 1 << 16).contains("prompts and layers must be of at most"));
    assert!(message(|plan| plan.decoy_share = f64::NAN).contains("decoy_share"));
    fn together(plan: &mut SyntheticPlan, planted: u32, heads: u32) {
        (plan.target.planted, plan.target.placement) = (planted, Placement::Together(heads));
    }
    assert!(message(|plan| together(plan, 6, 5)).contains("placement must be at most 4, a group's"));
    assert!(
        message(|plan| together(plan, 6, 2)).contains("placement must be at least 3, as there are 3 other")
    );
    assert!(message(|plan| plan.target.decoys = 14).contains("planted + decoys must be at most 16"));
    assert!(message(|plan| plan.target.geometry.head_dim = 32).contains("head_dim must be 64 or 128"));
    assert!(
        message(|plan| plan.target.geometry.kv_heads = 3).contains("query_heads must be a multiple of the 3")
    );
    assert!(message(|plan| plan.target.geometry.kv_heads = 0).contains("query_heads"));
    assert!(message(|plan| plan.target.layers = vec![3, 1]).contains("target.layers must be ascending"));
    assert!(message(|plan| plan.target.geometry.vocabulary = 0).contains("vocab_size"));
}
