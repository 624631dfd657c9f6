//! The fixture, judged a second time in f64 by the definitions alone.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path, sync::LazyLock};

use dustin::{profile::LayerHeads, select::problem::Fallback, verifier::Rules};

use super::*;
use crate::calibration::{Capture, ModelRole, PromptRole};

mod bounds;
mod export;
mod output;

static CAPTURE: LazyLock<Capture> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/calibration.safetensors");
    Capture::open(Path::new(path)).unwrap()
});

const PLAN: StepPlan = StepPlan { gamma: 3, most: 8 };

fn judge(prompts: &[u32]) -> Judge<'static> {
    Judge::new(&CAPTURE, prompts, PLAN, 2, 1 << 20).unwrap()
}

fn heads(layers: &[(u32, &[u32])]) -> Vec<LayerHeads> {
    layers.iter().map(|&(layer, heads)| LayerHeads { layer, heads: heads.to_vec() }).collect()
}

/// The probabilities that the query at `position` gives to positions 0 .. `length`.
fn attend(role: ModelRole, prompt: u32, layer: u32, head: u32, position: u32, length: u32) -> Vec<f64> {
    let model = CAPTURE.model(role).unwrap();
    let tensors = CAPTURE.layer(role, prompt, layer).unwrap();
    let dim = model.geometry.head_dim as usize;
    let row = (position - CAPTURE.prompt(prompt).unwrap().first_query) as usize;
    // All heads of the fixture were kept, so that numbers are rows.
    let queries = tensors.queries.floats(head as usize..head as usize + 1);
    let kv_head = model.kv_head_of(head) as usize;
    let keys = tensors.keys.floats(kv_head..kv_head + 1);
    let query = &queries[row * dim..][..dim];
    let product =
        |key: &[f32]| query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>();
    let logits: Vec<f64> =
        keys.chunks(dim).take(length as usize).map(|key| model.scale * product(key)).collect();
    // Those of copying heads exceed what an f64's exponential holds.
    let greatest = logits.iter().copied().fold(f64::MIN, f64::max);
    let exponentials: Vec<f64> = logits.into_iter().map(|logit| (logit - greatest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}

fn add(map: &mut [f64], probabilities: &[f64], weight: f64) {
    map.iter_mut().zip(probabilities).for_each(|(sum, probability)| *sum += weight * probability);
}

/// By layer, the recovery rate of `set` at one step.
fn recovered(prompt: u32, length: u32, set: &[usize]) -> Vec<f64> {
    let model = CAPTURE.model(ModelRole::Target).unwrap();
    let of_layer = |&layer: &u32| {
        let mut map = vec![0.0; length as usize];
        for &head in &model.heads {
            for position in length..=length + PLAN.gamma {
                let full = attend(ModelRole::Target, prompt, layer, head, position, position + 1);
                add(&mut map, &full, 1.0 / (model.heads.len() as f64 * f64::from(PLAN.gamma + 1)));
            }
        }
        set.iter().map(|&position| map[position]).sum()
    };
    model.layers.iter().map(of_layer).collect()
}

/// Takes the best of `map` that are not taken yet until `count` are.
fn take(set: &mut Vec<usize>, map: &[f64], count: usize) {
    let mut order: Vec<usize> = (0..map.len()).filter(|position| !set.contains(position)).collect();
    order.sort_by(|&a, &b| map[b].total_cmp(&map[a]));
    set.extend(order.into_iter().take(count.saturating_sub(set.len())));
}

/// The steps' confirmed lengths.
fn lengths(prompt: u32) -> impl ExactSizeIterator<Item = u32> {
    CAPTURE.prompt(prompt).unwrap().steps(PLAN.gamma).step_by(PLAN.gamma as usize + 1)
}

/// The set that `rules` without pooling choose at one step.
fn chosen(rules: &Rules, prompt: u32, length: u32) -> Vec<usize> {
    let mut maps = [vec![0.0; length as usize], vec![0.0; length as usize]];
    let [target, draft] = &mut maps;
    let mean = |layers: &[LayerHeads]| 1.0 / layers.iter().map(|it| it.heads.len()).sum::<usize>() as f64;
    for LayerHeads { layer, heads } in &rules.target_heads {
        for &head in heads {
            let row = attend(ModelRole::Target, prompt, *layer, head, length - 1, length);
            add(target, &row, mean(&rules.target_heads));
        }
    }
    for LayerHeads { layer, heads } in &rules.draft_heads {
        for &head in heads {
            for position in length..length + PLAN.gamma {
                let row = attend(ModelRole::Draft, prompt, *layer, head, position, length);
                add(draft, &row, mean(&rules.draft_heads) / f64::from(PLAN.gamma));
            }
        }
    }
    let [k, m, sinks, recent] = [rules.k, rules.m, rules.sinks, rules.recent].map(|it| it as usize);
    let mut set: Vec<usize> = (0..sinks).chain(length as usize - recent..length as usize).collect();
    take(&mut set, draft, (sinks + recent + m).min(k));
    take(&mut set, target, k);
    set
}

/// By layer, the recovery rate of `rules` without pooling on a prompt.
fn by_definition(rules: &Rules, prompt: u32) -> Vec<f64> {
    let mut sums = vec![0.0; 3];
    let count = lengths(prompt).len() as f64;
    for length in lengths(prompt) {
        add(&mut sums, &recovered(prompt, length, &chosen(rules, prompt, length)), 1.0 / count);
    }
    sums
}

fn require_close(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(expected) {
        assert!((actual - expected).abs() < 2e-5, "{actual} {expected}");
    }
}

#[test]
fn recovery_is_what_its_definition_says() {
    let target = heads(&[(0, &[1]), (1, &[2, 3])]);
    let budgets = Rules { sinks: 2, recent: 3, ..Rules::by_target(target, 14) };
    for rules in [
        Rules::by_target(heads(&[(1, &[2])]), 10),
        budgets.clone(),
        budgets.clone().with_draft(heads(&[(0, &[0]), (1, &[0, 1])]), 5),
        // The quota leaves the target nothing.
        budgets.with_draft(heads(&[(1, &[1])]), 14),
    ] {
        let rate = judge(&[1, 4]).rules(&rules).unwrap();
        for prompt in &rate.prompts {
            require_close(&prompt.layers, &by_definition(&rules, prompt.prompt));
        }
        assert_eq!(rate.prompts.iter().map(|it| it.prompt).collect::<Vec<_>>(), [1, 4]);
    }
}

#[test]
fn whoever_watches_a_judge_being_made_sees_all_layers_and_may_end_it() {
    let layers = CAPTURE.metadata().target.layers.len();
    let mut seen = Vec::new();
    let mut made = |end: usize| {
        Judge::watched(&CAPTURE, &[0, 1], PLAN, 1, 0, &mut |read, all| {
            seen.push((read, all));
            if read == end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    assert!(matches!(made(2), Err(FidelityError::Stopped)));
    assert!(made(0).is_ok());
    let all = 2 * layers;
    let expected: Vec<(usize, usize)> = [1, 2].into_iter().chain(1..=all).map(|read| (read, all)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn sinks_and_a_window_need_no_heads() {
    let rules = Rules { sinks: 4, recent: 12, ..Rules::by_target(Vec::new(), 16) };
    let rate = judge(&[2]).rules(&rules).unwrap();
    require_close(&rate.by_layer(), &by_definition(&rules, 2));
}

#[test]
fn the_oracle_is_beaten_by_no_heads_and_the_ceiling_by_no_set() {
    let searched = CAPTURE.require_prompts(PromptRole::Searched).unwrap();
    let mut judge = judge(&searched);
    let ceiling = judge.ceiling().mean();
    for k in [4, 12, 30] {
        let rules = Rules::by_target(heads(&[(1, &[2])]), k);
        let oracle = judge.estimate(Estimate::Oracle, &rules).unwrap();
        let full = judge.estimate(Estimate::FullHeads, &rules).unwrap();
        for (candidate, best) in judge.rules(&rules).unwrap().by_prompt().iter().zip(oracle.by_prompt()) {
            assert!(*candidate <= best + 1e-9);
        }
        assert!(full.mean() < oracle.mean() && oracle.mean() < ceiling, "{k}");
        assert_eq!(judge.estimate(Estimate::FullHeads, &rules).unwrap(), full);
    }
}

#[test]
fn full_heads_are_all_heads_as_rules() {
    let all: &[u32] = &[0, 1, 2, 3];
    let rules =
        Rules { sinks: 1, pooling: 5, ..Rules::by_target(heads(&[(0, all), (1, all), (2, all)]), 12) };
    let mut judge = judge(&[0, 5]);
    let full = judge.estimate(Estimate::FullHeads, &rules).unwrap();
    require_close(&judge.rules(&rules).unwrap().by_prompt(), &full.by_prompt());
}

#[test]
fn a_budget_of_all_tokens_and_short_contexts_keep_what_there_is() {
    let mut judge = judge(&[3]);
    let ceiling = judge.ceiling();
    let large = Rules::by_target(heads(&[(0, &[0])]), 64);
    require_close(&judge.rules(&large).unwrap().by_layer(), &ceiling.by_layer());
    let short = Rules { k: 4, everything: 60, without_target: Fallback::Everything, ..large };
    require_close(&judge.rules(&short).unwrap().by_layer(), &ceiling.by_layer());
    assert!(ceiling.by_layer().iter().all(|&mass| mass > 0.2 && mass < 1.0));
}

/// What SnapKV keeps of a prompt for the heads of one KV head, with a window of 8 and no pooling; the continuation not included.
fn snap_set(prompt: u32, layer: u32, group: &[u32], k: usize) -> Vec<usize> {
    let read = CAPTURE.prompt(prompt).unwrap().prompt_tokens;
    let before = read - 8;
    let mut map = vec![0.0; before as usize];
    for &head in group {
        for position in before..read {
            let full = attend(ModelRole::Target, prompt, layer, head, position, position + 1);
            add(&mut map, &full, 1.0);
        }
    }
    let mut set = Vec::new();
    take(&mut set, &map, k - 8);
    set.extend(before as usize..read as usize);
    set
}

/// By layer, what SnapKV keeps of a prompt.
fn snap_by_definition(prompt: u32, k: usize) -> Vec<f64> {
    let model = CAPTURE.model(ModelRole::Target).unwrap();
    let read = CAPTURE.prompt(prompt).unwrap().prompt_tokens as usize;
    let of_layer = |&layer: &u32| {
        let mut kept = 0.0;
        for group in model.heads.chunks(2) {
            let set = snap_set(prompt, layer, group, k);
            for length in lengths(prompt) {
                for &head in group {
                    for position in length..=length + PLAN.gamma {
                        let full = attend(ModelRole::Target, prompt, layer, head, position, position + 1);
                        let recent = read..length as usize;
                        kept += set.iter().copied().chain(recent).map(|at| full[at]).sum::<f64>();
                    }
                }
            }
        }
        kept / (lengths(prompt).len() * model.heads.len() * (PLAN.gamma as usize + 1)) as f64
    };
    model.layers.iter().map(of_layer).collect()
}

#[test]
fn evicting_baselines_keep_what_their_definitions_say() {
    let mut judge = judge(&[0, 4]);
    let snap = Eviction { k: 16, window: 8, pooling: 1, shares: LayerShares::Even };
    let rate = judge.eviction(snap).unwrap();
    for prompt in &rate.prompts {
        require_close(&prompt.layers, &snap_by_definition(prompt.prompt, 16));
    }
    // Budgets besides the window: 14, 8 and 2.
    let pyramid = Eviction { shares: LayerShares::Pyramid { beta: 4 }, ..snap };
    let rate = judge.eviction(pyramid).unwrap();
    for (layer, k) in [22, 16, 10].into_iter().enumerate() {
        require_close(&[rate.prompts[0].layers[layer]], &[snap_by_definition(0, k)[layer]]);
    }
    let all = judge.eviction(Eviction { k: 4000, pooling: 5, ..snap }).unwrap();
    require_close(&all.by_layer(), &judge.ceiling().by_layer());
    let mut message = |eviction| judge.eviction(eviction).unwrap_err().to_string();
    assert!(message(Eviction { window: 16, ..snap }).contains("window must be from 1 to below k, 16"));
    assert!(message(Eviction { window: 9, ..snap }).contains("window must be at most 8"));
    assert!(message(Eviction { pooling: 2, ..snap }).contains("pooling"));
    assert!(message(Eviction { shares: LayerShares::Pyramid { beta: 0 }, ..snap }).contains("beta"));
}

/// By confirmed length of a prompt's steps, what TOVA keeps in a layer.
fn tova_sets(prompt: u32, layer: u32, k: usize) -> BTreeMap<u32, Vec<usize>> {
    let (model, found) = (CAPTURE.model(ModelRole::Target).unwrap(), CAPTURE.prompt(prompt).unwrap());
    let mut set: Vec<usize> = (0..found.prompt_tokens as usize - 1).collect();
    let mut sets = BTreeMap::new();
    for position in found.prompt_tokens - 1..found.tokens - PLAN.gamma - 1 {
        set.push(position as usize);
        let mut mean = vec![0.0; position as usize + 1];
        for &head in &model.heads {
            let full = attend(ModelRole::Target, prompt, layer, head, position, position + 1);
            let there: f64 = set.iter().map(|&at| full[at]).sum();
            set.iter().for_each(|&at| mean[at] += full[at] / there);
        }
        while set.len() > k {
            let least = set.iter().copied().min_by(|&a, &b| mean[a].total_cmp(&mean[b])).unwrap();
            set.retain(|&at| at != least);
        }
        sets.insert(position + 1, set.clone());
    }
    sets
}

/// By layer, what TOVA keeps of a prompt.
fn tova_by_definition(prompt: u32, k: usize) -> Vec<f64> {
    let of_layer = |(index, &layer): (usize, &u32)| {
        let sets = tova_sets(prompt, layer, k);
        let kept = lengths(prompt).map(|length| recovered(prompt, length, &sets[&length])[index]);
        kept.sum::<f64>() / lengths(prompt).len() as f64
    };
    CAPTURE.model(ModelRole::Target).unwrap().layers.iter().enumerate().map(of_layer).collect()
}

#[test]
fn tova_keeps_what_its_definition_says() {
    let mut judge = judge(&[1, 5]);
    let rate = judge.tova(12).unwrap();
    for prompt in &rate.prompts {
        require_close(&prompt.layers, &tova_by_definition(prompt.prompt, 12));
    }
    require_close(&judge.tova(100).unwrap().by_layer(), &judge.ceiling().by_layer());
    assert!(judge.tova(0).unwrap_err().to_string().contains("k must be at least 1"));
}

#[test]
fn maps_that_are_kept_change_nothing() {
    let rules = Rules::by_target(heads(&[(0, &[0, 1]), (2, &[3])]), 9).with_draft(heads(&[(1, &[0])]), 4);
    let mut forgetful = Judge::new(&CAPTURE, &[0, 1], PLAN, 1, 0).unwrap();
    let mut keeping = judge(&[0, 1]);
    let first = keeping.rules(&rules).unwrap();
    assert_eq!(keeping.rules(&rules).unwrap(), first);
    assert_eq!(forgetful.rules(&rules).unwrap(), first);
}

#[test]
fn what_a_capture_cannot_judge_is_refused_by_name() {
    let mut judge = judge(&[0]);
    let good = Rules::by_target(heads(&[(1, &[2])]), 10);
    let mut message = |rules: Rules| judge.rules(&rules).unwrap_err().to_string();
    for layers in [heads(&[(3, &[0])]), heads(&[(0, &[4])])] {
        let rules = Rules { target_heads: layers, ..good.clone() };
        assert!(
            message(rules)
                .starts_with("fidelity: heads must be captured heads of captured layers of the target")
        );
    }
    let none = Rules { target_heads: Vec::new(), ..good.clone() };
    assert!(message(none).contains("at least one of the target model, whose map is read"));
    let large = Rules { k: 0, ..good.clone() };
    assert!(message(large).contains("budget"));
    let crowded = Rules { sinks: 8, recent: 8, ..good };
    assert!(message(crowded).contains("sinks + recent"));
    let long = StepPlan { gamma: 12, most: 1 };
    let refused = |prompts: &[u32], plan| Judge::new(&CAPTURE, prompts, plan, 1, 0).unwrap_err().to_string();
    assert!(refused(&[0], long).contains("for a step of 12 draft tokens"));
    assert!(refused(&[0], StepPlan { gamma: 0, most: 1 }).contains("gamma must be from 1 to 64"));
    assert!(refused(&[], PLAN).contains("prompts must be at least one"));
    assert!(refused(&[0, 1, 0], PLAN).contains("prompts must be different ones, but is [0, 1, 0]"));
    assert!(refused(&[6], PLAN).contains("prompt must be below 6"));
}
