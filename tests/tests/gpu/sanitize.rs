//! One small problem per variant: cheap enough for `compute-sanitizer --tool memcheck` and `racecheck`. Filter by the
//! name `sanitize`.

use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        launch::Splits,
        problem::{Confirmed, Mask, Sets},
        reference,
        space::Candidate,
        synthetic::{Contents, Logits, Recipe, SequenceShape},
    },
    kv::KvLayout,
};
use dustin_kernels::registry::{ATTENTION, AttentionVariant};
use dustin_tests::{
    cuda_backend::{Asked, Prepared},
    gpu::{Gpu, text, trial},
    verdict::judge,
};
use libtest_mimic::Trial;

use super::stream;

pub(super) fn trials() -> Vec<Trial> {
    let small = |(seed, variant): (usize, &'static AttentionVariant)| {
        trial(format!("sanitize_{}", variant.id), move |gpu| attend(gpu, variant, seed as u64))
    };
    ATTENTION.iter().enumerate().map(small).collect()
}

/// Two tiles and a part of a third, a short sequence, and one that is read as a whole; for odd seeds with trees.
fn attend(gpu: &Gpu, variant: &'static AttentionVariant, seed: u64) -> Result<(), String> {
    let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
    let tokens = variant.tile.tokens();
    let recipe = Recipe {
        dtype: variant.dtype,
        head_dim: variant.head_dim,
        kv_heads: 1,
        group: 5,
        page_size: 8,
        layout: if seed.is_multiple_of(2) { KvLayout::Nhd } else { KvLayout::Hnd },
        sequences: vec![
            shape(3 * tokens, 3, 2 * tokens + 9),
            shape(7, 1, 3),
            shape(tokens + 3, 2, SequenceShape::EVERYTHING),
        ],
        confirmed: Confirmed::Sets(Sets::of_positions(0)),
        mask: if seed.is_multiple_of(2) { Mask::Causal } else { Mask::Tree },
        spare: 1,
        padding: 1,
        head_major: false,
        lse: true,
        contents: Contents { logits: Logits::Flat, sorted: false, poison_unselected: true, seed },
    };
    let input = recipe.input().map_err(text)?;
    let reference = reference::attention(&input.problem, &input.arrays()).map_err(text)?;
    let stream = stream(gpu)?;
    let cluster = variant.tile.clusters(variant.head_dim).then_some((Splits::of_cluster(2), OutputType::F32));
    let plain = [(1.into(), OutputType::Rounded), (2.into(), OutputType::F32)];
    for (splits, output_type) in plain.into_iter().chain(cluster) {
        let asked = Asked { candidate: Candidate { variant, splits }, output_type, lse_base: LogBase::E };
        let attended = Prepared::new(&gpu.modules, &stream, &input, asked)?.attend(&stream)?;
        judge(&input, &reference, &attended, asked.lse_base)
            .map_err(|error| format!("{asked:?}, seed {seed}: {error}"))?;
    }
    Ok(())
}
