//! The built-in workloads.

use dustin::{Dtype, attention::problem::Mask, kv::KvLayout};

use super::{AttentionShape, CacheShape, Impossible, ScoreShape, SelectShape, Shape, Workload};

/// 16 sequences of 32,768 tokens of Qwen2.5-72B.
const W1_CACHE: CacheShape = CacheShape {
    model: "Qwen2.5-72B",
    batch: 16,
    context: 32_768,
    page_size: 16,
    layout: KvLayout::Nhd,
    dtype: Dtype::Bf16,
    tp: 1,
};

/// The headline: 5 rows verified with a budget of 512.
const W1: AttentionShape = AttentionShape {
    cache: W1_CACHE,
    rows: 5,
    k: Some(512),
    mask: Mask::Causal,
    lse: false,
    batch_invariant: false,
};

/// Its target map: four heads of one layer, of a group each.
const W1_SCORE: ScoreShape = ScoreShape { cache: W1_CACHE, layers: 1, heads: 4, kv_heads_read: 4, tokens: 1 };

/// Its draft map: three layers of the draft model, all four draft tokens.
const W1_SCORE_DRAFT: ScoreShape = ScoreShape {
    cache: CacheShape { model: "Qwen2.5-0.5B", ..W1_CACHE },
    layers: 3,
    heads: 4,
    kv_heads_read: 2,
    tokens: 4,
};

/// Its selection from both maps.
const W1_SELECT: SelectShape = SelectShape { batch: 16, context: 32_768, k: 512, quota: 128 };

/// The headline on ranks of tensor parallelism.
const fn ranks(tp: u32) -> AttentionShape {
    AttentionShape { cache: CacheShape { tp, ..W1_CACHE }, ..W1 }
}

/// The headline with another batch of another context.
const fn sized(batch: u32, context: u32) -> AttentionShape {
    AttentionShape { cache: CacheShape { batch, context, ..W1_CACHE }, ..W1 }
}

/// The headline with a tree of `rows` rows.
const fn tree(rows: u32) -> AttentionShape {
    AttentionShape { rows, mask: Mask::Tree, ..W1 }
}

/// `shape` with all confirmed tokens read.
const fn full(shape: AttentionShape) -> AttentionShape {
    AttentionShape { k: None, ..shape }
}

/// A small batch of a model.
const fn small(model: &'static str, batch: u32, context: u32) -> CacheShape {
    CacheShape { model, batch, context, ..W1_CACHE }
}

/// What GPUs are tuned for by default.
const GPU: &[(&str, Shape)] = &[
    ("w1", Shape::Attention(W1)),
    ("w1-rows8", Shape::Attention(AttentionShape { rows: 8, ..W1 })),
    ("w1-tp4", Shape::Attention(ranks(4))),
    ("w1-tp8", Shape::Attention(ranks(8))),
    ("w1-k1024", Shape::Attention(AttentionShape { k: Some(1024), ..W1 })),
    ("w1-k2048", Shape::Attention(AttentionShape { k: Some(2048), ..W1 })),
    ("w1-b1", Shape::Attention(sized(1, 32_768))),
    ("w1-b4", Shape::Attention(sized(4, 32_768))),
    ("w1-b1-128k", Shape::Attention(sized(1, 131_072))),
    ("w1-b8-16k", Shape::Attention(sized(8, 16_384))),
    ("w1-b64-8k", Shape::Attention(sized(64, 8_192))),
    ("w1-tree16", Shape::Attention(tree(16))),
    ("w1-tree64", Shape::Attention(tree(64))),
    ("w1-full", Shape::Attention(full(W1))),
    ("w1-full-b1", Shape::Attention(full(sized(1, 32_768)))),
    ("w1-full-b1-128k", Shape::Attention(full(sized(1, 131_072)))),
    ("w1-full-b8-16k", Shape::Attention(full(sized(8, 16_384)))),
    ("w1-score", Shape::Score(W1_SCORE)),
    ("w1-score-1kv", Shape::Score(ScoreShape { kv_heads_read: 1, ..W1_SCORE })),
    ("w1-score-draft", Shape::Score(W1_SCORE_DRAFT)),
    ("w1-select", Shape::Select(W1_SELECT)),
    ("w1-select-b64", Shape::Select(SelectShape { batch: 64, ..W1_SELECT })),
    ("w1-select-128k", Shape::Select(SelectShape { context: 131_072, ..W1_SELECT })),
];

/// What CPUs are tuned for by default: small enough for two cores and two minutes.
const CPU: &[(&str, Shape)] = &[
    ("cpu-0.5b", Shape::Attention(AttentionShape { cache: small("Qwen2.5-0.5B", 1, 4_096), ..W1 })),
    ("cpu-7b", Shape::Attention(AttentionShape { cache: small("Qwen2.5-7B", 1, 4_096), k: Some(256), ..W1 })),
    (
        "cpu-8b-b2",
        Shape::Attention(AttentionShape { cache: small("Llama-3.1-8B", 2, 2_048), k: Some(256), ..W1 }),
    ),
    ("cpu-full", Shape::Attention(full(AttentionShape { cache: small("Qwen2.5-0.5B", 1, 1_024), ..W1 }))),
    ("cpu-score-7b", Shape::Score(ScoreShape { cache: small("Qwen2.5-7B", 1, 4_096), ..W1_SCORE })),
    (
        "cpu-score-draft",
        Shape::Score(ScoreShape { cache: small("Qwen2.5-0.5B", 1, 4_096), ..W1_SCORE_DRAFT }),
    ),
    ("cpu-select", Shape::Select(SelectShape { batch: 4, context: 16_384, ..W1_SELECT })),
];

/// The built-in workloads, those for GPUs first.
pub fn built_in() -> impl Iterator<Item = (&'static str, &'static str, Shape)> {
    let gpu = GPU.iter().map(|&(name, shape)| (name, "GPU", shape));
    gpu.chain(CPU.iter().map(|&(name, shape)| (name, "CPU", shape)))
}

/// The default workloads of GPUs, or of CPUs.
///
/// # Errors
/// None, unless a row of the tables above is impossible.
pub fn defaults(gpu: bool) -> Result<Vec<Workload>, Impossible> {
    let rows = if gpu { GPU } else { CPU };
    rows.iter().map(|&(name, shape)| Workload::new(name.into(), shape)).collect()
}

/// The built-in workload called `name`, whatever its case.
///
/// # Errors
/// There is none.
pub fn named(name: &str) -> Result<Workload, Impossible> {
    match built_in().find(|(known, ..)| known.eq_ignore_ascii_case(name)) {
        Some((known, _, shape)) => Workload::new(known.into(), shape),
        None => Err(Impossible(format!(
            "--workload {name}: there is no such built-in workload; `autotune plan --list-workloads` lists them"
        ))),
    }
}
