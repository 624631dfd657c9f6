mod accept;
mod buffers;
mod plan;
mod problem;
mod stages;

use dustin_kernels::registry::Dtype;

use super::*;
use crate::{
    accept::problem::{self as acceptance, ScoreKind, ScoreType, Scores},
    attention::problem::Mask,
    geometry::{ModelShare, preset},
    kv::{KvLayout, PagedKv},
    profile::LayerHeads,
};

/// A share of a built-in model, with caches of `pages` pages of 16 tokens.
fn model(name: &str, tp_size: u32, tp_rank: u32, pages: u32) -> Model {
    let share = ModelShare::new(preset(name).unwrap(), tp_size, tp_rank).unwrap();
    let local = share.local();
    Model::new(share, PagedKv::dense(KvLayout::Nhd, pages, 16, local.kv_heads, local.head_dim), Dtype::Bf16)
}

fn heads(layer: u32, heads: &[u32]) -> LayerHeads {
    LayerHeads { layer, heads: heads.to_vec() }
}

/// The verifier that accepts, too: logits in bf16, drafts of a chain or a tree.
fn accepting(mask: Mask) -> VerifierProblem {
    let scores = Scores { dtype: ScoreType::Bf16, kind: ScoreKind::Logits };
    let draft = acceptance::Draft { scores, rows: 64, without_replacement: false };
    let acceptance = Some(Acceptance { target: scores, draft: Some(draft) });
    VerifierProblem { mask, acceptance, ..problem(1, 0) }
}

/// Qwen2.5-72B verified at batch 16 and 32k, with Qwen2.5-0.5B as the draft, on rank `tp_rank` of `tp_size`.
fn problem(tp_size: u32, tp_rank: u32) -> VerifierProblem {
    let rules = Rules {
        sinks: 4,
        recent: 32,
        everything: 2048,
        ..Rules::by_target(vec![heads(40, &[3, 17, 40, 63])], 512)
            .with_draft(vec![heads(5, &[0, 9]), heads(11, &[13])], 128)
    };
    let limits = Limits {
        max_batch: 16,
        max_total_tokens: 16 * 32_768,
        max_length: 32_773,
        rows: 5,
        gamma: 4,
        slots: 20,
    };
    let draft = Draft { model: model("Qwen2.5-0.5B", 1, 0, 40_000), cache: DraftCache::Complete };
    VerifierProblem::new(model("Qwen2.5-72B", tp_size, tp_rank, 40_000), Some(draft), limits, rules)
}
