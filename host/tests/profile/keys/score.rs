use dustin::{
    Dtype,
    kv::{KvLayout, PagedKv},
    profile::*,
    score::problem::{ScoreProblem, Source},
};

use super::{Mutation, hold, of_any_kernel};
use crate::support::{Toy, h200, refused_by};

/// Four heads of one layer of Qwen2.5-72B on four KV heads, 16 sequences of 32,768 tokens in tables twice as wide.
pub(crate) fn problem() -> ScoreProblem {
    ScoreProblem {
        batch: 16,
        map_capacity: 16 << 15,
        tokens: 1,
        slots: 16,
        query_heads: 64,
        kv: PagedKv::dense(KvLayout::Nhd, 40_000, 16, 8, 128),
        table_width: 4096,
        dtype: Dtype::Bf16,
        sources: Source::mean(&[&[0, 9, 17, 25]], 1),
        accumulate: false,
    }
}

fn key_of(problem: &ScoreProblem) -> Key {
    Key::of(problem, &h200(), Policy::default())
}

pub(crate) fn key() -> Key {
    key_of(&problem())
}

fn with(change: impl FnOnce(&mut ScoreKey)) -> Key {
    let mut score = ScoreKey::from(&problem());
    change(&mut score);
    Key { kernel: KernelKey::SrhScore(score), ..key() }
}

#[test]
fn every_field_of_the_key_tells_buckets_apart() {
    let change = |field, near, change: fn(&mut ScoreKey)| (field, near, with(change));
    let mut mutations: Vec<Mutation> = of_any_kernel(&key());
    mutations.extend([
        change("dtype", false, |key| key.dtype = Dtype::F16),
        change("kv_dtype", false, |key| key.kv_dtype = KvDtype::Fp8E4m3),
        change("kv_scale", false, |key| key.kv_scale = KvScale::PerTensor),
        change("head_dim", false, |key| key.head_dim = 64),
        change("query_heads", false, |key| key.query_heads = 32),
        change("kv_heads", false, |key| key.kv_heads = 16),
        change("both heads", true, |key| (key.query_heads, key.kv_heads) = (32, 4)),
        change("layout", false, |key| key.layout = KvLayout::Hnd),
        change("page_size", true, |key| key.page_size = 32),
        change("batch", true, |key| key.batch = 24),
        change("length_class", true, |key| key.length_class = 131_072),
        change("mean_length", true, |key| key.mean_length = 24_576),
        change("sources", false, |key| key.sources = 3),
        change("heads", true, |key| key.heads = 5),
        change("kv_heads_read", true, |key| key.kv_heads_read = 3),
        change("tokens", false, |key| key.tokens = 4),
        change("accumulate", true, |key| key.accumulate = true),
    ]);
    hold(&key(), &mutations);
}

#[test]
fn a_problem_with_any_field_changed_beyond_its_bucket_has_another_key() {
    let good = problem();
    let dense = |layout, page, heads, dim| PagedKv::dense(layout, 40_000, page, heads, dim);
    let changed = [
        ScoreProblem { batch: 17, ..good.clone() },
        ScoreProblem { map_capacity: (16 << 15) + 1, ..good.clone() },
        ScoreProblem { tokens: 2, ..good.clone() },
        ScoreProblem { query_heads: 56, sources: Source::mean(&[&[0, 7, 14, 21]], 1), ..good.clone() },
        ScoreProblem { kv: dense(KvLayout::Hnd, 16, 8, 128), ..good.clone() },
        ScoreProblem { kv: dense(KvLayout::Nhd, 16, 8, 64), ..good.clone() },
        // The same tokens in pages of another size.
        ScoreProblem { kv: dense(KvLayout::Nhd, 32, 8, 128), table_width: 2048, ..good.clone() },
        ScoreProblem { table_width: 4097, ..good.clone() },
        ScoreProblem { dtype: Dtype::F16, ..good.clone() },
        ScoreProblem { sources: Source::mean(&[&[0, 9, 17, 25], &[1]], 1), ..good.clone() },
        ScoreProblem { sources: Source::mean(&[&[0, 9, 17, 25, 26]], 1), ..good.clone() },
        ScoreProblem { sources: Source::mean(&[&[0, 1, 2, 3]], 1), ..good.clone() },
        ScoreProblem { accumulate: true, ..good },
    ];
    let keys: std::collections::HashSet<Key> = changed.iter().map(key_of).collect();
    assert_eq!(keys.len(), changed.len());
    assert!(!keys.contains(&key()));
}

#[test]
fn problems_of_one_bucket_share_a_key() {
    let mut smaller =
        ScoreProblem { batch: 13, map_capacity: 13 * 20_000, slots: 99, table_width: 3000, ..problem() };
    smaller.sources = Source::mean(&[&[3, 12, 20, 63]], 2);
    assert_eq!(key_of(&smaller), key());
}

#[test]
fn the_problem_that_stands_for_a_bucket_is_valid_in_it_and_holds_it() {
    let layers: [&[u32]; 4] = [&[0], &[0, 1, 2, 3, 4, 5, 6], &[1, 9], &[0, 1, 2, 7, 8, 9, 10, 11, 13]];
    for (batch, map, table_width) in
        [(1, 1, 1), (5, 700, 9), (13, i32::MAX as u32, 8191), (65_535, 70_000, 2)]
    {
        for (page_size, tokens, sources) in [(1, 1, 1), (16, 4, 3), (256, 56, 5), (64, 9, 12)] {
            for heads in layers {
                let problem = ScoreProblem {
                    batch,
                    map_capacity: map,
                    tokens,
                    slots: batch,
                    query_heads: 14,
                    kv: PagedKv::dense(KvLayout::Hnd, 100, page_size, 2, 64),
                    table_width,
                    dtype: Dtype::F16,
                    sources: Source::mean(&vec![heads; sources], tokens),
                    accumulate: false,
                };
                problem.validate().unwrap();
                let key = ScoreKey::from(&problem);
                let stands = key.problem();
                let case = format!("{problem:?}: {key:?}");
                assert_eq!(stands.validate(), Ok(()), "{case}");
                assert_eq!(ScoreKey::from(&stands), key, "{case}");
                assert!(stands.batch >= batch && stands.tokens >= tokens, "{case}");
                assert!(stands.sources.len() >= sources, "{case}");
                assert!(stands.column_capacity() >= problem.column_capacity(), "{case}");
                assert!(u64::from(key.mean_length) <= u64::from(stands.table_width) * u64::from(page_size));
            }
        }
    }
}

#[test]
fn a_key_that_no_valid_problem_has_is_refused_by_field() {
    let field = |change: fn(&mut ScoreKey)| refused_by(with(change), Toy);
    assert_eq!(field(|key| key.kv_heads = 0), "key.kv_heads");
    assert_eq!(field(|key| key.head_dim = 0), "key.head_dim");
    assert_eq!(field(|key| key.query_heads = 60), "key.query_heads");
    assert_eq!(field(|key| key.page_size = 3), "key.page_size");
    assert_eq!(field(|key| key.batch = 17), "key.batch");
    assert_eq!(field(|key| key.length_class = 60_000), "key.length_class");
    assert_eq!(field(|key| key.mean_length = 20_000), "key.mean_length");
    assert_eq!(field(|key| key.mean_length = 131_072), "key.mean_length");
    assert_eq!(field(|key| key.sources = 0), "key.sources");
    assert_eq!(field(|key| key.sources = u32::MAX), "key.sources");
    assert_eq!(field(|key| key.kv_heads_read = 0), "key.kv_heads_read");
    assert_eq!(field(|key| key.kv_heads_read = 9), "key.kv_heads_read");
    assert_eq!(field(|key| key.heads = 3), "key.heads");
    assert_eq!(field(|key| key.heads = 33), "key.heads");
    assert_eq!(field(|key| key.heads = 9), "key.heads");
    assert_eq!(field(|key| key.tokens = 0), "key.tokens");
    assert_eq!(field(|key| key.tokens = 129), "key.tokens");
    assert_eq!(field(|key| key.tokens = 9), "key.tokens");
}
