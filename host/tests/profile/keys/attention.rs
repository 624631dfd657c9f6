use dustin::{
    Dtype,
    attention::problem::{AttentionProblem, Confirmed, Mask, Sets},
    kv::{KvLayout, PagedKv},
    profile::*,
};

use super::{Mutation, hold, of_any_kernel};
use crate::support::*;

fn mutations() -> Vec<Mutation> {
    let with = |field, near, change: fn(&mut AttentionKey)| (field, near, key_with(change));
    let mut mutations = of_any_kernel(&key());
    mutations.extend([
        with("dtype", false, |key| key.dtype = Dtype::F16),
        with("kv_dtype", false, |key| key.kv_dtype = KvDtype::Fp8E4m3),
        with("kv_scale", false, |key| key.kv_scale = KvScale::PerHead),
        with("head_dim", false, |key| key.head_dim = 64),
        with("query_heads", false, |key| key.query_heads = 32),
        with("kv_heads", false, |key| key.kv_heads = 16),
        with("both heads", true, |key| (key.query_heads, key.kv_heads) = (48, 6)),
        with("layout", false, |key| key.layout = KvLayout::Hnd),
        with("page_size", true, |key| key.page_size = 32),
        with("batch", true, |key| key.batch = 24),
        with("rows", true, |key| key.rows = 6),
        with("set_capacity", true, |key| key.set_capacity = 768),
        with("length_class", true, |key| key.length_class = 65_536),
        with("index_set", true, |key| key.index_set = IndexSet::PerKvHead),
        with("everything", false, |key| key.index_set = IndexSet::Everything),
        with("every batch", false, |key| key.batch = AttentionKey::EVERY_BATCH),
        with("mask", true, |key| key.mask = Mask::Tree),
        with("lse", true, |key| key.lse = true),
    ]);
    mutations
}

#[test]
fn every_field_of_the_key_tells_buckets_apart() {
    hold(&key(), &mutations());
    assert_eq!(distance::between(&key(), &key_with(|key| (key.batch, key.rows) = (32, 10))), Some(3.0));
}

#[test]
fn a_problem_with_any_field_changed_beyond_its_bucket_has_another_key() {
    let good = problem();
    let dense = |layout, page, heads, dim| PagedKv::dense(layout, 40_000, page, heads, dim);
    let per_head = Confirmed::Sets(Sets { per_kv_head: true, ..Sets::of_positions(512) });
    let changed = [
        AttentionProblem { batch: 17, ..good },
        AttentionProblem { rows: 6, ..good },
        AttentionProblem { confirmed: Confirmed::Sets(Sets::of_positions(513)), ..good },
        AttentionProblem { confirmed: per_head, ..good },
        AttentionProblem { confirmed: Confirmed::Window { sinks: 4, recent: 508 }, ..good },
        AttentionProblem { confirmed: Confirmed::Everything, ..good },
        AttentionProblem { mask: Mask::Tree, ..good },
        AttentionProblem { batch_invariant: true, ..good },
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
    let confirmed = Confirmed::Sets(Sets::of_positions(400));
    let smaller = AttentionProblem { batch: 13, total_rows: 20, confirmed, table_width: 1500, ..problem() };
    assert_eq!(Key::of(&smaller, &h200(), Policy::default()), key());
}
