//! From queries to sets: scoring and selection on one stream.

use dustin::{
    Dtype,
    cuda::{Graph, Stream},
    score::{
        space::default_candidate,
        synthetic::{Logits, ScoreInput},
    },
    select::launch::SelectBuffers,
};
use dustin_tests::{
    cuda_score, cuda_select,
    gpu::{Gpu, text, trial},
    ranks,
    sets::Chain,
};
use libtest_mimic::Trial;

use super::{score::KINDS, select::candidates, stream};

/// Tokens of the longest sequences, and positions of a set.
const LENGTH: u32 = 32_768;
const BUDGET: u32 = 512;

pub(super) fn trials() -> Vec<Trial> {
    let chains = [Dtype::Bf16, Dtype::F16].into_iter().flat_map(|dtype| {
        [Logits::Flat, Logits::Peaked].map(|logits| {
            let name = format!("sets_of_512_of_32k_{logits:?}_{dtype:?}_scores_are_exact_and_those_of_f64");
            trial(name, move |gpu| exact_sets(gpu, dtype, logits))
        })
    });
    let ranks = KINDS.into_iter().map(|(dtype, head_dim)| {
        let name =
            format!("ranks_maps_of_{dtype:?}_{head_dim}_sum_up_to_the_whole_and_give_every_rank_one_set");
        trial(name, move |gpu| ranks_agree(gpu, dtype, head_dim))
    });
    chains.chain(ranks).collect()
}

/// `input` in device memory, with the untuned choice.
fn prepared(gpu: &Gpu, stream: &Stream, input: &ScoreInput) -> Result<cuda_score::Prepared, String> {
    let candidate = default_candidate(&input.problem, &gpu.modules.device().limits()).map_err(text)?;
    cuda_score::Prepared::new(&gpu.modules, stream, input, candidate)
}

/// Nothing waits between the jobs and the selection that reads their maps, neither when they are launched nor in a graph.
fn exact_sets(gpu: &Gpu, dtype: Dtype, logits: Logits) -> Result<(), String> {
    let stream = stream(gpu)?;
    let chain = Chain::new(dtype, logits, LENGTH, BUDGET)?;
    let mut target = prepared(gpu, &stream, &chain.target)?;
    let mut draft = prepared(gpu, &stream, &chain.draft)?;
    for candidate in candidates(gpu)? {
        let mut select = cuda_select::Prepared::new(&gpu.modules, &stream, &chain.select, candidate)?;
        let (target_map, draft_map) = (target.buffers().map, draft.buffers().map);
        let buffers = SelectBuffers { target: target_map, draft: draft_map, ..select.buffers() };
        for captured in [false, true] {
            target.renew_map(&stream).map_err(text)?;
            draft.renew_map(&stream).map_err(text)?;
            select.renew_output(&stream).map_err(text)?;
            let step = || {
                target.launch(&stream)?;
                draft.launch(&stream)?;
                select.launch_with(&stream, &buffers)
            };
            if captured {
                let mut graph = Graph::capture(&stream, step).map_err(text)?;
                // SAFETY: what was captured lives in the three.
                unsafe { graph.launch(&stream) }.map_err(text)?;
                stream.synchronize().map_err(text)?;
            } else {
                step().map_err(text)?;
            }
            chain
                .judge(&target.scored(&stream)?, &draft.scored(&stream)?, &select.selected(&stream)?)
                .map_err(|error| format!("{candidate}, captured: {captured}: {error}"))?;
        }
    }
    Ok(())
}

fn ranks_agree(gpu: &Gpu, dtype: Dtype, head_dim: u32) -> Result<(), String> {
    let stream = stream(gpu)?;
    let whole = ranks::recipe(dtype, head_dim, LENGTH).input().map_err(text)?;
    let candidates = candidates(gpu)?;
    ranks::SIZES.into_iter().try_for_each(|tp_size| {
        ranks::judge_ranks(
            &whole,
            tp_size,
            BUDGET,
            |_, share| prepared(gpu, &stream, share)?.score(&stream),
            |rank, input| {
                let candidate = candidates[rank % candidates.len()];
                cuda_select::Prepared::new(&gpu.modules, &stream, input, candidate)?.select(&stream)
            },
        )
    })
}
