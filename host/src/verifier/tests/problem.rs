use super::*;
use crate::{attention::problem::Mask, error::InvalidInput};

fn refused(change: impl FnOnce(&mut VerifierProblem)) -> InvalidInput {
    let mut problem = problem(1, 0);
    change(&mut problem);
    Stages::new(&problem).unwrap_err()
}

fn field(change: impl FnOnce(&mut VerifierProblem)) -> &'static str {
    refused(change).field
}

#[test]
fn limits_of_zero_and_limits_that_do_not_fit_together_are_refused_by_name() {
    Stages::new(&problem(1, 0)).unwrap();
    assert_eq!(field(|p| p.limits.max_batch = 0), "max_batch");
    assert_eq!(field(|p| p.limits.max_total_tokens = 0), "max_total_tokens");
    assert_eq!(field(|p| p.limits.max_length = 0), "max_length");
    assert_eq!(field(|p| p.limits.rows = 0), "rows");
    assert_eq!(field(|p| p.limits.gamma = 0), "gamma");
    assert_eq!(field(|p| p.limits.slots = 0), "slots");

    assert_eq!(field(|p| p.limits.rows = 65), "rows");
    assert_eq!(field(|p| p.limits.gamma = 5), "gamma");
    assert_eq!(field(|p| p.limits.max_length = 5), "max_length");
    assert_eq!(field(|p| p.limits.max_total_tokens = 32_772), "max_total_tokens");
    assert_eq!(field(|p| p.limits.slots = 15), "slots");
    assert_eq!(field(|p| p.limits.max_batch = 65_536), "slots");
    assert_eq!(field(|p| (p.limits.max_batch, p.limits.slots) = (65_536, 65_536)), "batch");
    let tree = |p: &mut VerifierProblem| (p.mask, p.limits.rows) = (Mask::Tree, 64);
    let mut of_tree = problem(1, 0);
    tree(&mut of_tree);
    assert_eq!(Stages::new(&of_tree).unwrap().compaction.accepted, 5);
}

#[test]
fn models_and_caches_that_do_not_belong_together_are_refused_by_name() {
    assert_eq!(field(|p| p.target.kv.kv_heads = 4), "target.kv.kv_heads");
    assert_eq!(field(|p| p.target.kv.head_dim = 64), "target.kv.head_dim");
    let draft = |change: fn(&mut Model)| field(|p| change(&mut p.draft.as_mut().unwrap().model));
    assert_eq!(draft(|model| model.kv.kv_heads = 8), "draft.kv.kv_heads");
    assert_eq!(draft(|model| model.kv.head_dim = 128), "draft.kv.head_dim");
    assert_eq!(field(|p| p.target.kv.page_size = 3), "kv.page_size");
    let with = |change: fn(&mut crate::geometry::Geometry)| {
        let mut geometry = preset("Qwen2.5-72B").unwrap();
        change(&mut geometry);
        field(|p| p.target.share = ModelShare::whole(geometry))
    };
    assert_eq!(with(|geometry| geometry.query_heads = 60), "target.query_heads");
    assert_eq!(with(|geometry| geometry.query_heads = 8 * 17), "query_heads / kv_heads");
    assert_eq!(with(|geometry| geometry.layers = 0), "target.layers");
}

#[test]
fn heads_that_the_models_do_not_have_are_refused_by_name() {
    let target = |layers: Vec<LayerHeads>| field(|p| p.rules.target_heads = layers);
    assert_eq!(target(vec![]), "target_heads");
    assert_eq!(target(vec![heads(1, &[])]), "target_heads");
    assert_eq!(target(vec![heads(80, &[1])]), "target_heads");
    assert_eq!(target(vec![heads(1, &[64])]), "target_heads");
    assert_eq!(target(vec![heads(1, &[5, 5])]), "target_heads");
    assert_eq!(target(vec![heads(2, &[5]), heads(1, &[5])]), "target_heads");
    assert_eq!(field(|p| p.rules.draft_heads = vec![heads(24, &[1])]), "draft_heads");
    let error = refused(|p| p.rules.draft_heads = vec![heads(3, &[1, 14])]);
    assert_eq!(
        error.to_string(),
        "verifier: draft_heads must be of the model's 24 layers of 14 query heads, but is head 14 of layer 3"
    );
}

#[test]
fn budgets_that_do_not_fit_are_refused_with_their_values() {
    assert_eq!(field(|p| p.rules.k = 0), "k");
    assert_eq!(field(|p| p.rules.k = 4097), "k");
    assert_eq!(field(|p| (p.limits.max_length, p.rules.k) = (300, 301)), "k");
    assert_eq!(field(|p| p.rules.m = 513), "m");
    assert_eq!(field(|p| p.rules.recent = 509), "sinks + recent");
    assert_eq!(field(|p| p.rules.pooling = 4), "pooling");
    assert_eq!(field(|p| p.rules.block = 48), "budget");
    assert_eq!(refused(|p| p.rules.m = 600).to_string(), "verifier: m must be at most k, 512, but is 600");
}

#[test]
fn a_quota_without_a_complete_draft_cache_is_refused() {
    assert_eq!(field(|p| p.draft = None), "m");
    assert_eq!(field(|p| p.draft.as_mut().unwrap().cache = DraftCache::Windowed), "m");
    let mut windowed = problem(1, 0);
    windowed.draft.as_mut().unwrap().cache = DraftCache::Windowed;
    windowed.rules.m = 0;
    assert_eq!(Stages::new(&windowed).unwrap().draft_score, Gather::Unread);
}

#[test]
fn a_profiles_selection_is_taken_over() {
    let selection = crate::profile::Selection {
        target_model: "a".into(),
        draft_model: "b".into(),
        target_heads: vec![heads(1, &[2])],
        draft_heads: vec![heads(3, &[4])],
        k: 256,
        m: 64,
        sinks: 4,
        recent: 8,
        pooling: 5,
        recovery: Some(crate::profile::Recovery { mean: 0.9, ci95_low: 0.8 }),
        calibration_digest: Some(String::new()),
        provenance: None,
    };
    let rules = Rules::from(&selection);
    assert_eq!((&rules.target_heads, &rules.draft_heads), (&selection.target_heads, &selection.draft_heads));
    assert_eq!((rules.k, rules.m, rules.sinks, rules.recent, rules.pooling), (256, 64, 4, 8, 5));
    assert_eq!((rules.block, rules.everything), (1, 0));

    let provenance = crate::profile::Provenance::unknown(crate::profile::DeviceId::cpu("any"));
    let mut profile = crate::profile::Profile::new(provenance);
    profile.selections =
        vec![crate::profile::Selection { k: 64, draft_model: "c".into(), ..selection.clone() }, selection];
    assert_eq!(Rules::of_profile(&profile, "a", "b"), Some(rules));
    assert_eq!(Rules::of_profile(&profile, "a", "c").map(|rules| rules.k), Some(64));
    assert_eq!(Rules::of_profile(&profile, "b", "a"), None);
}
