//! Buckets and choices in words, for tables.

use dustin::{
    attention::problem::Mask,
    profile::{AttentionKey, CacheState, IndexSet, KernelKey, Key, Launch, LaunchMode, ScoreKey, SelectKey},
};
use dustin_autotune::workload::{counted, dtype_name, layout_name};

/// A bucket in few words, all that tells it from the others of a device's profile but the policy.
pub(crate) fn name(key: &Key) -> String {
    match &key.kernel {
        KernelKey::SparseAttention(key) => attention(key),
        KernelKey::SrhScore(key) => score(key),
        KernelKey::Selection(key) => select(key),
    }
}

fn attention(key: &AttentionKey) -> String {
    let AttentionKey { rows, set_capacity, query_heads, kv_heads, head_dim, length_class, page_size, .. } =
        key;
    let (dtype, layout) = (dtype_name(key.dtype), layout_name(key.layout));
    let batch = match key.batch {
        AttentionKey::EVERY_BATCH => "every batch".into(),
        batch => format!("batch {batch}"),
    };
    let tree = if key.mask == Mask::Tree { " of a tree" } else { "" };
    let read = match key.index_set {
        IndexSet::PerSequence => format!("k {set_capacity}"),
        IndexSet::PerKvHead => format!("k {set_capacity} per KV head"),
        IndexSet::Window => format!("window of {set_capacity}"),
        IndexSet::Everything => "everything".into(),
    };
    let lse = if key.lse { ", LSE" } else { "" };
    format!(
        "{query_heads}/{kv_heads}x{head_dim} {dtype}, {batch} x {length_class}, {rows} rows{tree}, {read}, \
         page {page_size} {layout}{lse}"
    )
}

fn score(key: &ScoreKey) -> String {
    let ScoreKey { batch, mean_length, length_class, query_heads, kv_heads, head_dim, page_size, .. } = key;
    let (dtype, layout) = (dtype_name(key.dtype), layout_name(key.layout));
    let (layers, heads) = (counted(key.sources, "layer"), counted(key.heads, "head"));
    let (read, tokens) = (counted(key.kv_heads_read, "KV head"), counted(key.tokens, "token"));
    let accumulate = if key.accumulate { ", accumulated" } else { "" };
    format!(
        "score {query_heads}/{kv_heads}x{head_dim} {dtype}, batch {batch} x {mean_length} of {length_class}, \
         {layers} of {heads} on {read}, {tokens}, page {page_size} {layout}{accumulate}"
    )
}

fn select(key: &SelectKey) -> String {
    let SelectKey { batch, mean_length, budget, maps, quota, block, pooling, physical } = key;
    let mut name = format!("select batch {batch} x {mean_length}, k {budget}, {maps:?}").to_lowercase();
    let block = (*block > 1).then(|| format!("blocks of {block}"));
    let flags = [(*quota, "quota"), (*pooling, "pooling"), (*physical, "slots")];
    let flags = flags.into_iter().filter(|(asked, _)| *asked).map(|(_, word)| word.to_owned());
    for word in flags.chain(block) {
        name = format!("{name}, {word}");
    }
    name
}

/// The use that times of a bucket are taken for, in words.
pub(crate) fn policy(key: &Key) -> String {
    let launch = match key.policy.launch {
        LaunchMode::Graph => "graph",
        LaunchMode::Eager => "eager",
    };
    let cache = match key.policy.l2 {
        CacheState::Cold => "cold",
        CacheState::Warm => "warm",
    };
    format!("{launch}, {cache}")
}

/// A variant and its launch parameters, in words.
pub(crate) fn spell(variant: &str, launch: &Launch) -> String {
    let Launch { fold, splits, cluster, threads } = launch;
    let fold = fold.as_ref().map(|fold| format!(" + {fold}"));
    let splits = splits.map(|splits| format!(", {}", counted(splits, "split")));
    let cluster = cluster.map(|blocks| format!(", clusters of {blocks}"));
    let threads = threads.map(|threads| format!(", {}", counted(threads, "thread")));
    let parts = [fold, splits, cluster, threads];
    parts.into_iter().flatten().fold(variant.to_owned(), |text, part| text + &part)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use dustin::{
        attention::problem::{AttentionProblem, Confirmed, Sets},
        profile::{DeviceId, Policy},
    };
    use dustin_autotune::workload::{self, Problem};

    use super::*;

    #[test]
    fn no_two_built_in_workloads_have_one_name_for_their_buckets() {
        let key =
            |name| Key::of(&workload::named(name).unwrap().problem, &DeviceId::cpu("any"), Policy::default());
        let keys: Vec<Key> = workload::built_in().map(|(name, ..)| key(name)).collect();
        let names: HashSet<String> = keys.iter().map(name).collect();
        assert_eq!(names.len(), keys.iter().collect::<HashSet<_>>().len());
        let select = name(&key("w1-select"));
        assert_eq!(select, "select batch 16 x 32768, k 512, both, quota");
    }

    #[test]
    fn buckets_of_attention_are_told_apart_by_what_is_read_the_mask_and_the_batch() {
        let Problem::Attention(w1) = workload::named("w1").unwrap().problem else { panic!("of attention") };
        let sets = Sets::of_positions(512);
        let problems = [
            w1,
            AttentionProblem { confirmed: Confirmed::Sets(Sets { per_kv_head: true, ..sets }), ..w1 },
            AttentionProblem { confirmed: Confirmed::Window { sinks: 4, recent: 508 }, ..w1 },
            AttentionProblem { confirmed: Confirmed::Everything, ..w1 },
            AttentionProblem { mask: Mask::Tree, ..w1 },
            AttentionProblem { batch_invariant: true, ..w1 },
            AttentionProblem { lse: true, ..w1 },
        ];
        let key = |problem| Key::of(problem, &DeviceId::cpu("any"), Policy::default());
        let names: HashSet<String> = problems.iter().map(|problem| name(&key(problem))).collect();
        assert_eq!(names.len(), problems.len(), "{names:?}");
    }

    #[test]
    fn a_choice_is_spelt_with_what_it_is_launched_with() {
        let launch = Launch { fold: Some("f".into()), splits: Some(1), ..Launch::default() };
        assert_eq!(spell("v", &launch), "v + f, 1 split");
        let launch = Launch { cluster: Some(8), threads: Some(2), ..Launch::default() };
        assert_eq!(spell("v", &launch), "v, clusters of 8, 2 threads");
    }
}
