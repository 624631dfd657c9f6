//! Caches beyond 2^32 items.

use dustin::{
    cuda::DeviceBuffer,
    kv::{KvLayout, PagedKv},
    score::launch::{ScoreBuffers, ScorePlan, SourceBuffers},
};
use dustin_tests::{
    cuda_score::Prepared,
    gpu::{Gpu, text},
    score::{judge, reference_of},
};
use libtest_mimic::Trial;

use super::{
    super::{
        large::{ITEMS, large_trial, scatter},
        stream,
    },
    candidates, ragged,
};

pub(super) fn trials() -> Vec<Trial> {
    vec![large_trial("scores_in_a_cache_beyond_2_to_the_32_items_are_right", wide_offsets)]
}

/// The keys of both layers lie in one array whose pages lie far apart: only the pages are written, the rest is NaN.
fn wide_offsets(gpu: &Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    let mut memory = DeviceBuffer::<u16>::allocate(&gpu.context, ITEMS as usize).map_err(text)?;
    for (layout, candidate) in [KvLayout::Nhd, KvLayout::Hnd].into_iter().cycle().zip(candidates().step_by(3))
    {
        let mut recipe = ragged(candidate, 1);
        (recipe.layout, recipe.padding) = (layout, 0);
        let near = recipe.input().map_err(text)?;
        let page_stride = ITEMS / u64::from(near.problem.kv.pages) / 16 * 16;
        let mut problem = near.problem.clone();
        problem.kv = PagedKv { page_stride, ..near.problem.kv };
        memory.fill(&stream, 0xff).map_err(text)?;
        let half = page_stride as usize / 2;
        for (own, at) in near.sources.iter().zip([0, half]) {
            scatter(&mut memory, &stream, [near.problem.kv, problem.kv], &own.key, at).map_err(text)?;
        }

        let plan = ScorePlan::new(&problem, candidate.logits, candidate.fold, candidate.splits);
        let prepared = Prepared::new(&gpu.modules, &stream, &near, candidate)?
            .with_plan(&gpu.modules, plan.map_err(text)?)?;
        let buffers = prepared.buffers();
        let place = |(own, at): (&SourceBuffers, usize)| SourceBuffers {
            key: memory.address() + (at * size_of::<u16>()) as u64,
            ..*own
        };
        let sources: Vec<SourceBuffers> = buffers.sources.iter().zip([0, half]).map(place).collect();
        prepared.launch_with(&stream, &ScoreBuffers { sources: &sources, ..buffers }).map_err(text)?;
        judge(&near, &reference_of(&near)?, &prepared.scored(&stream)?)
            .map_err(|error| format!("{candidate}, {layout:?}: {error}"))?;
    }
    Ok(())
}
