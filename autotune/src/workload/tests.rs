use dustin::attention::problem::Mask;

use super::*;

fn w1() -> AttentionShape {
    match named("W1").unwrap().shape {
        Shape::Attention(shape) => shape,
        other => panic!("{other:?}"),
    }
}

fn megabytes(name: &str) -> f64 {
    named(name).unwrap().problem.bytes() as f64 / 1e6
}

#[test]
fn every_built_in_workload_is_a_valid_problem_under_a_name_of_its_own() {
    let mut names = std::collections::HashSet::new();
    for (name, _, shape) in built_in() {
        let workload = named(name).unwrap();
        assert_eq!(workload.shape, shape, "{name}");
        assert!(names.insert(name), "{name}");
        assert!(!workload.describe().is_empty());
    }
}

#[test]
fn the_headline_workload_moves_34_megabytes_of_cache_and_3_of_queries_and_outputs() {
    let moved = megabytes("W1");
    assert!((33.8..=36.8).contains(&moved), "{moved}");
}

#[test]
fn full_attention_moves_every_cached_token() {
    for (name, cache) in [("w1-full", 2147.5), ("w1-full-b8-16k", 536.9), ("w1-full-b1", 134.2)] {
        let moved = megabytes(name);
        assert!((cache..cache * 1.01).contains(&moved), "{name}: {moved}");
    }
}

#[test]
fn a_shape_tells_what_is_read_which_rows_are_seen_and_that_the_batch_must_not_matter() {
    let told = |shape: AttentionShape| Workload::new("own".into(), shape).unwrap().describe();
    let w1 = w1();
    let usual = "Qwen2.5-72B, batch 16 x 32768, 5 rows, k 512, page 16 NHD, bf16";
    assert_eq!(told(w1), usual);
    assert_eq!(told(AttentionShape { k: None, ..w1 }), usual.replace("k 512", "everything"));
    assert_eq!(told(AttentionShape { mask: Mask::Tree, ..w1 }), usual.replace("5 rows", "5 rows of a tree"));
    let flags = AttentionShape { lse: true, batch_invariant: true, ..w1 };
    assert_eq!(told(flags), format!("{usual}, LSE, batch-invariant"));
}

#[test]
fn scoring_moves_the_keys_of_the_heads_that_are_read_and_the_map() {
    for (name, keys) in [("w1-score", 536.9), ("w1-score-1kv", 134.2), ("w1-score-draft", 402.7)] {
        let moved = megabytes(name);
        assert!((keys..keys + 2.5).contains(&moved), "{name}: {moved}");
    }
}

#[test]
fn selection_moves_both_maps() {
    for (name, maps) in [("w1-select", 4.2), ("w1-select-b64", 16.8), ("w1-select-128k", 16.8)] {
        let moved = megabytes(name);
        assert!((maps - 0.1..maps + 0.2).contains(&moved), "{name}: {moved}");
    }
}

#[test]
fn tensor_parallel_ranks_have_their_share_of_the_heads() {
    let heads = |name| match named(name).unwrap().problem {
        Problem::Attention(problem) => (problem.query_heads, problem.kv.kv_heads),
        other => panic!("{other:?}"),
    };
    assert_eq!((heads("w1-tp4"), heads("w1-tp8")), ((16, 2), (8, 1)));
}

#[test]
fn impossible_shapes_are_refused_with_the_values() {
    let refuse = |shape: Shape| Workload::new("own".into(), shape).unwrap_err().to_string();
    let cached = |change: fn(&mut CacheShape)| {
        let mut shape = w1();
        change(&mut shape.cache);
        refuse(shape.into())
    };
    let error = cached(|cache| cache.tp = 3);
    assert!(error.contains("3 ranks"), "{error}");
    cached(|cache| cache.batch = 0);
    cached(|cache| cache.page_size = 0);
    cached(|cache| cache.page_size = 24);
    cached(|cache| (cache.batch, cache.context) = (u32::MAX, u32::MAX));
    let mut short = w1();
    (short.k, short.cache.context) = (Some(600), 500);
    let error = refuse(short.into());
    assert!(error.contains("600") && error.contains("500"), "{error}");
    refuse(AttentionShape { rows: 65, ..w1() }.into());

    let score = ScoreShape { cache: w1().cache, layers: 1, heads: 4, kv_heads_read: 4, tokens: 1 };
    let error = refuse(ScoreShape { kv_heads_read: 9, ..score }.into());
    assert!(error.contains("from 1 to 8 KV heads") && error.contains('9'), "{error}");
    let error = refuse(ScoreShape { heads: 40, ..score }.into());
    assert!(error.contains("4 to 32 query heads") && error.contains("40"), "{error}");
    let error = refuse(ScoreShape { heads: 3, ..score }.into());
    assert!(error.contains("not by 3"), "{error}");
    refuse(ScoreShape { layers: 0, ..score }.into());
    refuse(ScoreShape { tokens: 129, ..score }.into());

    let select = SelectShape { batch: 16, context: 32_768, k: 512, quota: 128 };
    for shape in [
        SelectShape { batch: 65_536, context: 65_536, ..select },
        SelectShape { k: 5000, ..select },
        SelectShape { quota: 600, ..select },
        SelectShape { batch: 0, ..select },
    ] {
        refuse(shape.into());
    }

    let error = named("w9").unwrap_err().to_string();
    assert!(error.contains("--list-workloads"), "{error}");
    let error = model("GPT-5").unwrap_err().to_string();
    assert!(error.contains("Qwen2.5-72B"), "{error}");
}
