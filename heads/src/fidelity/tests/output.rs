//! Output errors of the fixture, and what has none.

use super::*;
use crate::{
    calibration::CalibrationError,
    synthetic::{ModelShape, Placement, Synthetic, SyntheticPlan},
};

/// The output of one row and head over the positions `seen`.
fn output(prompt: u32, layer: u32, head: u32, position: u32, seen: &[usize]) -> Vec<f64> {
    let model = CAPTURE.model(ModelRole::Target).unwrap();
    let values = CAPTURE.layer(ModelRole::Target, prompt, layer).unwrap().values.unwrap();
    let kv_head = model.kv_head_of(head) as usize;
    let values = values.floats(kv_head..kv_head + 1);
    let full = attend(ModelRole::Target, prompt, layer, head, position, position + 1);
    let seen_of_all: f64 = seen.iter().map(|&at| full[at]).sum();
    let dim = model.geometry.head_dim as usize;
    let item = |item: usize| {
        seen.iter().map(|&at| full[at] / seen_of_all * f64::from(values[at * dim + item])).sum::<f64>()
    };
    (0..dim).map(item).collect()
}

/// By layer, the output error of the sets that `set` says by layer, head and confirmed length.
fn error_by_definition(prompt: u32, set: impl Fn(u32, u32, u32) -> Vec<usize>) -> Vec<f64> {
    let norm = |items: &[f64]| items.iter().map(|item| item * item).sum::<f64>().sqrt();
    let model = CAPTURE.model(ModelRole::Target).unwrap();
    let of_layer = |&layer: &u32| {
        let mut errors = Vec::new();
        for length in lengths(prompt) {
            for &head in &model.heads {
                let set = set(layer, head, length);
                for position in length..=length + PLAN.gamma {
                    let own = length as usize..=position as usize;
                    let seen: Vec<usize> = set.iter().copied().chain(own).collect();
                    let all: Vec<usize> = (0..=position as usize).collect();
                    let full = output(prompt, layer, head, position, &all);
                    let sparse = output(prompt, layer, head, position, &seen);
                    let difference: Vec<f64> = full.iter().zip(&sparse).map(|(a, b)| a - b).collect();
                    errors.push(norm(&difference) / norm(&full));
                }
            }
        }
        errors.iter().sum::<f64>() / errors.len() as f64
    };
    model.layers.iter().map(of_layer).collect()
}

/// Within what probabilities of fp32 leave.
fn require_errors(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(expected) {
        assert!(
            *expected > 0.01 && (actual - expected).abs() < 1e-4 * expected.max(1.0),
            "{actual} {expected}"
        );
    }
}

#[test]
fn output_errors_are_what_their_definition_says() {
    let rules = Rules { sinks: 2, recent: 3, ..Rules::by_target(heads(&[(0, &[1]), (1, &[2, 3])]), 14) };
    let window = Rules { sinks: 4, recent: 12, ..Rules::by_target(Vec::new(), 16) };
    let mut judge = judge(&[1, 4]);
    let sets = [judge.sets(&rules).unwrap(), judge.sets(&window).unwrap()];
    let errors = judge.output_errors(&[&sets[0], &sets[1]]).unwrap();
    for (error, rules) in errors.iter().zip([&rules, &window]) {
        for prompt in &error.prompts {
            let set = |_, _, length| chosen(rules, prompt.prompt, length);
            require_errors(&prompt.layers, &error_by_definition(prompt.prompt, set));
        }
        assert_eq!(error.prompts.iter().map(|it| it.prompt).collect::<Vec<_>>(), [1, 4]);
    }
}

#[test]
fn estimates_have_output_errors_and_everything_has_none() {
    let mut judge = judge(&[0, 5]);
    let few = Rules::by_target(heads(&[(0, &[0])]), 6);
    let many = Rules { k: 24, ..few.clone() };
    let all = Rules { everything: 64, without_target: Fallback::Everything, ..few.clone() };
    let listed = Rules { k: 64, ..few.clone() };
    let sets = [
        judge.estimated_sets(Estimate::Oracle, &many).unwrap(),
        judge.estimated_sets(Estimate::Oracle, &few).unwrap(),
        judge.estimated_sets(Estimate::FullHeads, &few).unwrap(),
        judge.sets(&all).unwrap(),
        judge.sets(&listed).unwrap(),
    ];
    let errors = judge.output_errors(&sets.each_ref()).unwrap();
    let [oracle_of_many, oracle, full_heads, everything, listed] =
        [0, 1, 2, 3, 4].map(|index: usize| errors[index].mean());
    assert!(oracle_of_many < oracle && oracle < full_heads, "{oracle_of_many} {oracle} {full_heads}");
    assert_eq!(everything, 0.0);
    // Read as a set, but summed in the same order.
    assert!(listed < 1e-6, "{listed}");
}

#[test]
fn evicting_baselines_have_output_errors_too() {
    let mut judge = judge(&[0]);
    let read = CAPTURE.prompt(0).unwrap().prompt_tokens as usize;
    let snap = Eviction { k: 16, window: 8, pooling: 1, shares: LayerShares::Even };
    let kept = |layer, head: u32, length: u32| {
        let mut set = snap_set(0, layer, &[head / 2 * 2, head / 2 * 2 + 1], 16);
        set.extend(read..length as usize);
        set
    };
    let error = judge.eviction_error(snap).unwrap();
    require_errors(&error.by_layer(), &error_by_definition(0, kept));
    let tova = |layer, _, length| tova_sets(0, layer, 12).remove(&length).unwrap();
    require_errors(&judge.tova_error(12).unwrap().by_layer(), &error_by_definition(0, tova));
    assert!(judge.eviction_error(Eviction { k: 4000, ..snap }).unwrap().mean() < 1e-6);
    assert!(judge.tova_error(100).unwrap().mean() < 1e-6);
}

#[test]
fn sets_of_another_judge_and_captures_without_values_are_refused() {
    let rules = Rules::by_target(heads(&[(1, &[2])]), 10);
    let others = judge(&[1]).sets(&rules).unwrap();
    let message = judge(&[0]).output_errors(&[&others]).unwrap_err().to_string();
    assert!(message.contains("sets must be of the judged steps"), "{message}");

    let geometry = CAPTURE.metadata().target.geometry;
    let plan = SyntheticPlan {
        seed: 1,
        target: ModelShape {
            geometry,
            layers: vec![0],
            planted: 1,
            placement: Placement::Anywhere,
            decoys: 0,
        },
        draft: None,
        searched: 1,
        held_out: 0,
        prompt_tokens: 256,
        continuation: 8,
        decoy_share: 0.0,
    };
    let synthetic = Synthetic::new(&plan).unwrap();
    let mut judge = Judge::new(&synthetic.capture, &[0], PLAN, 1, 0).unwrap();
    let sets = judge.sets(&Rules::by_target(heads(&[(0, &[0])]), 10)).unwrap();
    let error = judge.output_errors(&[&sets]).unwrap_err();
    assert!(matches!(error, FidelityError::Calibration(CalibrationError::NoValues { .. })), "{error}");
    assert!(error.to_string().contains("capture again with --values"));
}
