//! Caches beyond 2^31 items.

use dustin::{
    attention::{
        launch::{AttentionBuffers, AttentionPlan},
        problem::{Confirmed, Mask, Sets},
        reference,
        space::Candidate,
        synthetic::{Contents, Logits, Recipe, SequenceShape},
    },
    cuda::{CudaError, DeviceBuffer, Stream},
    kv::{KvLayout, PagedKv},
};
use dustin_kernels::registry::ATTENTION;
use dustin_tests::{
    cuda_backend::{Asked, Prepared},
    gpu::{Gpu, skip, text},
    verdict::judge,
};
use libtest_mimic::{Completion, Failed, Trial};

use super::stream;

/// Items of the cache: beyond what 32 bits, signed or not, can count.
pub(super) const ITEMS: u64 = (1 << 32) + (1 << 28);

pub(super) fn trials() -> Vec<Trial> {
    vec![large_trial("offsets_in_a_cache_beyond_2_to_the_32_items_are_right", wide_offsets)]
}

/// A test with a cache of [`ITEMS`], skipped where the device has no room for it.
pub(super) fn large_trial(name: &str, test: fn(&Gpu) -> Result<(), String>) -> Trial {
    Trial::ignorable_test(name, move || {
        let gpu = match Gpu::get() {
            Ok(gpu) => gpu,
            Err(error) => return skip(error),
        };
        let (free, needed) = (gpu.context.free_memory()?, 2 * ITEMS + (1 << 30));
        if (free as u64) < needed {
            return skip(format!("{needed} bytes of device memory are needed, and {free} are free"));
        }
        test(gpu).map(|()| Completion::Completed).map_err(Failed::from)
    })
}

/// Keys at the start of each page's share of one array, values in its middle, the pages far apart: only they are written, the
/// rest is NaN.
fn wide_offsets(gpu: &Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
    let mut memory = DeviceBuffer::<u16>::allocate(&gpu.context, ITEMS as usize).map_err(text)?;
    for layout in [KvLayout::Nhd, KvLayout::Hnd] {
        for variant in ATTENTION.iter().step_by(9) {
            let recipe = Recipe {
                dtype: variant.dtype,
                head_dim: variant.head_dim,
                kv_heads: 2,
                group: 8,
                page_size: 16,
                layout,
                sequences: vec![shape(500, 5, 300), shape(333, 3, 333)],
                confirmed: Confirmed::Sets(Sets::of_positions(0)),
                mask: Mask::Causal,
                spare: 0,
                padding: 0,
                head_major: false,
                lse: true,
                contents: Contents { logits: Logits::Flat, sorted: true, poison_unselected: false, seed: 11 },
            };
            let near = recipe.input().map_err(text)?;
            let page_stride = ITEMS / u64::from(near.problem.kv.pages) / 16 * 16;
            let far = PagedKv { page_stride, ..near.problem.kv };
            memory.fill(&stream, 0xff).map_err(text)?;
            for (items, at) in [(&near.key, 0), (&near.value, page_stride as usize / 2)] {
                scatter(&mut memory, &stream, [near.problem.kv, far], items, at).map_err(text)?;
            }

            let asked = Asked::rounded(Candidate { variant, splits: 3.into() });
            let mut problem = near.problem;
            problem.kv = far;
            let plan = AttentionPlan::new(&problem, variant, 3).map_err(text)?;
            let prepared =
                Prepared::new(&gpu.modules, &stream, &near, asked)?.with_plan(&gpu.modules, plan)?;
            let buffers = AttentionBuffers {
                key: memory.address(),
                value: memory.address() + page_stride / 2 * size_of::<u16>() as u64,
                ..prepared.buffers()
            };
            prepared.launch_with(&stream, &buffers).map_err(text)?;
            let attended = prepared.attended(&stream)?;
            let reference = reference::attention(&near.problem, &near.arrays()).map_err(text)?;
            judge(&near, &reference, &attended, asked.lse_base)
                .map_err(|error| format!("{}, {layout:?}: {error}", variant.id))?;
        }
    }
    Ok(())
}

/// Writes the pages of the dense cache `items` to their places in a wide one, `at` items behind each page's start.
pub(super) fn scatter(
    memory: &mut DeviceBuffer<u16>,
    stream: &Stream,
    [near, far]: [PagedKv; 2],
    items: &[u16],
    at: usize,
) -> Result<(), CudaError> {
    let (page, stride) = (near.page_stride as usize, far.page_stride as usize);
    (0..near.pages as usize)
        .try_for_each(|number| memory.upload(stream, number * stride + at, &items[number * page..][..page]))
}
