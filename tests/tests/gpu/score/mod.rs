//! Score gathering.
//!
//! | file | what it tests |
//! |---|---|
//! | `reference` | every variant, random problems and long sequences, against the f64 reference |
//! | `faults` | what only the device can see: masked, reported, sticky |
//! | `determinism` | the same bits, whatever else is in the batch, by a launch or a graph |
//! | `large` | a cache beyond 2^32 items |
//! | `sanitize` | one small problem per variant, cheap enough for compute-sanitizer |

mod determinism;
mod faults;
mod large;
mod reference;
mod sanitize;

use dustin::{
    Dtype,
    kv::KvLayout,
    score::{
        problem::Source,
        space::Candidate,
        synthetic::{Contents, Logits, Recipe, ScoreInput, SequenceShape},
    },
};
use dustin_kernels::registry::{FOLD, LOGITS};
use dustin_tests::gpu::text;
use libtest_mimic::Trial;

/// Element types and head sizes.
pub(super) const KINDS: [(Dtype, u32); 4] =
    [(Dtype::Bf16, 64), (Dtype::Bf16, 128), (Dtype::F16, 64), (Dtype::F16, 128)];

pub(super) fn trials() -> Vec<Trial> {
    [reference::trials(), faults::trials(), determinism::trials(), large::trials(), sanitize::trials()]
        .into_iter()
        .flatten()
        .collect()
}

/// Every variant of `logits`, with those of `fold` and numbers of splits in turn.
fn candidates() -> impl Iterator<Item = Candidate> {
    let splits = [1, 3, 16, 2, 64].into_iter().cycle();
    let rest = FOLD.iter().cycle().zip(splits);
    LOGITS.iter().zip(rest).map(|(logits, (fold, splits))| Candidate { logits, fold, splits })
}

/// A ragged batch for `candidate`: two layers with heads of all KV heads, two captured tokens, an empty sequence, one without
/// queries, and lengths around those of chunks and tiles.
fn ragged(candidate: Candidate, seed: u64) -> Recipe {
    let shape = |length, room, captured| SequenceShape { length, room, captured };
    Recipe {
        dtype: candidate.logits.dtype,
        head_dim: candidate.logits.head_dim,
        kv_heads: 3,
        group: 5,
        page_size: 16,
        layout: if seed.is_multiple_of(2) { KvLayout::Nhd } else { KvLayout::Hnd },
        sequences: vec![
            shape(5000, 3, true),
            shape(0, 0, true),
            shape(257, 0, true),
            shape(700, 9, false),
            shape(31, 1, true),
            shape(1, 0, true),
        ],
        sources: Source::mean(&[&[0, 3, 5, 6, 7, 8, 9, 14], &[2, 11]], 2),
        tokens: 2,
        accumulate: seed.is_multiple_of(3),
        spare: 2,
        padding: 1,
        contents: Contents { logits: Logits::Peaked, slots: true, seed },
    }
}

/// The input of [`ragged`].
fn ragged_input(candidate: Candidate, seed: u64) -> Result<ScoreInput, String> {
    ragged(candidate, seed).input().map_err(text)
}
