//! Whether tokens are distributed as the target's, whatever the drafts.

use dustin_kernels::registry::{ACCEPT_ROWS, ACCEPT_WALK, AcceptWalkVariant};
use dustin_tests::{
    accept_statistics::{Counts, Drafting, Models, batch},
    cuda_accept::PreparedAccept,
    gpu::{Gpu, trial},
};
use libtest_mimic::Trial;

use super::super::stream;

/// Sequences of a batch, and batches.
const BATCH: usize = 50_000;
const BATCHES: u64 = 4;

pub(super) fn trials() -> Vec<Trial> {
    let of_walk = |walk: &'static AcceptWalkVariant| {
        trial(format!("{}_emits_tokens_as_the_target_says", walk.id), move |gpu| fits(gpu, walk))
    };
    ACCEPT_WALK.iter().map(of_walk).collect()
}

fn fits(gpu: &'static Gpu, walk: &'static AcceptWalkVariant) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (drafting, seed) in Drafting::ALL.into_iter().zip(1..) {
        let (models, mut counts) = (Models::new(seed), Counts::default());
        for index in 0..BATCHES {
            let input = batch(&models, drafting, BATCH, 100 * seed + index);
            let prepared = PreparedAccept::new(&gpu.modules, &stream, &input, &ACCEPT_ROWS[0], walk)?;
            let given = prepared.accept(&stream)?;
            if given.status != 0 {
                return Err(format!("{drafting:?}: status {:#x}", given.status));
            }
            counts.add_all(&input, &given.emitted);
        }
        let excess = counts.excess(&models);
        if excess.first >= 1.0 || excess.second >= 1.0 {
            return Err(format!("{drafting:?}: {excess:?}"));
        }
    }
    Ok(())
}
