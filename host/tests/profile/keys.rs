use dustin::{
    Dtype,
    attention::problem::AttentionProblem,
    kv::{KvLayout, PagedKv},
    profile::*,
};

use crate::support::*;

/// The key with one field changed, for each field; the flag says whether near keys may differ in it.
fn mutations() -> Vec<(&'static str, bool, Key)> {
    let key = key();
    let other_gpu = DeviceId::gpu("NVIDIA H100", 9, 0);
    let capability = DeviceId::gpu("NVIDIA H200", 9, 1);
    let eager = Policy { launch: LaunchMode::Eager, ..key.policy };
    let warm = Policy { l2: CacheState::Warm, ..key.policy };
    vec![
        ("device.name", false, Key { device: other_gpu, ..key.clone() }),
        ("device.compute_capability", false, Key { device: capability, ..key.clone() }),
        ("device kind", false, Key { device: DeviceId::cpu("NVIDIA H200"), ..key.clone() }),
        ("policy.launch", false, Key { policy: eager, ..key.clone() }),
        ("policy.l2", false, Key { policy: warm, ..key.clone() }),
        ("dtype", false, Key { dtype: Dtype::F16, ..key.clone() }),
        ("kv_dtype", false, Key { kv_dtype: KvDtype::Fp8E4m3, ..key.clone() }),
        ("kv_scale", false, Key { kv_scale: KvScale::PerHead, ..key.clone() }),
        ("head_dim", false, Key { head_dim: 64, ..key.clone() }),
        ("query_heads", false, Key { query_heads: 32, ..key.clone() }),
        ("kv_heads", false, Key { kv_heads: 16, ..key.clone() }),
        ("both heads", true, Key { query_heads: 32, kv_heads: 4, ..key.clone() }),
        ("layout", false, Key { layout: KvLayout::Hnd, ..key.clone() }),
        ("page_size", true, Key { page_size: 32, ..key.clone() }),
        ("batch", true, Key { batch: 24, ..key.clone() }),
        ("rows", true, Key { rows: 6, ..key.clone() }),
        ("set_capacity", true, Key { set_capacity: 768, ..key.clone() }),
        ("length_class", true, Key { length_class: 65_536, ..key.clone() }),
        ("index_set", false, Key { index_set: IndexSet::PerKvHead, ..key.clone() }),
        ("mask", false, Key { mask: Mask::Tree, ..key.clone() }),
        ("lse", true, Key { lse: true, ..key }),
    ]
}

#[test]
fn a_key_with_any_field_changed_does_not_match_exactly() {
    let tuned = Tuned::new([entry(key(), "wide", 2)], Toy);
    assert_eq!(tuned.find(&key()).unwrap().source, Source::Exact);
    for (field, soft, mutated) in mutations() {
        let source = tuned.find(&mutated).map(|found| found.source).ok();
        assert_ne!(source, Some(Source::Exact), "{field}");
        assert_eq!(matches!(source, Some(Source::Near { .. })), soft, "{field}: {source:?}");
    }
}

#[test]
fn every_field_of_the_key_is_mutated_above() {
    // One mutation or more for each field in the file but the kernel, which has one value so far.
    let file = toml::Table::try_from(key()).unwrap();
    for field in file.keys().filter(|&field| field != "kernel") {
        let named = |(name, _, _): &(&str, bool, Key)| name.split('.').next() == Some(field);
        assert!(mutations().iter().any(named), "{field}");
    }
}

#[test]
fn a_problem_with_any_field_changed_beyond_its_bucket_has_another_key() {
    let good = problem();
    let dense = |layout, page, heads, dim| PagedKv::dense(layout, 40_000, page, heads, dim);
    let changed = [
        AttentionProblem { batch: 17, ..good },
        AttentionProblem { rows: 6, ..good },
        AttentionProblem { set_capacity: 513, ..good },
        AttentionProblem { query_heads: 56, ..good },
        AttentionProblem { kv: dense(KvLayout::Hnd, 16, 8, 128), ..good },
        AttentionProblem { kv: dense(KvLayout::Nhd, 16, 4, 128), ..good },
        AttentionProblem { kv: dense(KvLayout::Nhd, 16, 8, 64), ..good },
        // The same tokens in pages of another size.
        AttentionProblem { kv: dense(KvLayout::Nhd, 32, 8, 128), table_width: 1024, ..good },
        AttentionProblem { table_width: 2049, ..good },
        AttentionProblem { dtype: Dtype::F16, ..good },
        AttentionProblem { lse: true, ..good },
    ];
    let keys: std::collections::HashSet<Key> =
        changed.iter().map(|problem| Key::of(problem, &h200(), Policy::default())).collect();
    assert_eq!(keys.len(), changed.len());
    assert!(!keys.contains(&key()));
}

#[test]
fn problems_of_one_bucket_share_a_key() {
    let smaller =
        AttentionProblem { batch: 13, total_rows: 20, set_capacity: 400, table_width: 1500, ..problem() };
    assert_eq!(Key::of(&smaller, &h200(), Policy::default()), key());
}

#[test]
fn distance_is_symmetric_and_zero_for_the_key_itself() {
    for (field, _, mutated) in mutations() {
        let there = distance::between(&key(), &mutated);
        assert_eq!(there, distance::between(&mutated, &key()), "{field}");
    }
    assert_eq!(distance::between(&key(), &key()), Some(0.0));
    let double = Key { batch: 32, rows: 10, ..key() };
    assert_eq!(distance::between(&key(), &double), Some(3.0));
}
