//! What only the device can see.

use dustin::attention::{reference, synthetic::Plant};
use dustin_kernels::fault::Fault;
use dustin_tests::{
    cuda_backend::{Asked, Prepared},
    gpu::{Gpu, text, trial},
    verdict::judge,
};
use libtest_mimic::Trial;

use super::{ragged, ragged_input, some_variants, stream};

pub(super) fn trials() -> Vec<Trial> {
    let planted = Plant::ALL.into_iter().map(|plant| {
        trial(format!("a_planted_{plant:?}_is_masked_and_reported"), move |gpu| masked(gpu, plant))
    });
    planted.chain([trial("the_status_word_stays_until_it_is_cleared", sticky)]).collect()
}

fn masked(gpu: &Gpu, plant: Plant) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in some_variants().enumerate() {
        let mut recipe = ragged(candidate.variant, seed as u64);
        // A wrong length makes other tokens the sequence's own rows.
        recipe.contents.poison_unselected = false;
        let mut input = recipe.input().map_err(text)?;
        if !input.plant(plant, 0) {
            return Err(format!("{plant:?} cannot be planted"));
        }
        let reference = reference::attention(&input.problem, &input.arrays()).map_err(text)?;
        if reference.status == 0 {
            return Err(format!("the reference does not see {plant:?}"));
        }
        let asked = Asked::rounded(candidate);
        let attended = Prepared::new(&gpu.modules, &stream, &input, asked)?.attend(&stream)?;
        judge(&input, &reference, &attended, asked.lse_base)
            .map_err(|error| format!("{plant:?}, {candidate}, seed {seed}: {error}"))?;
    }
    Ok(())
}

fn sticky(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for candidate in some_variants() {
        let clean = ragged_input(candidate.variant, 0)?;
        let prepared = Prepared::new(&gpu.modules, &stream, &clean, Asked::rounded(candidate))?;
        let status = || prepared.workspace.status(&stream).map_err(text);
        let expect = |when: &str, expected: Option<(Fault, u32)>| {
            let actual = status()?;
            if actual != expected {
                return Err(format!("{candidate}: {when} the status is {actual:?} instead of {expected:?}"));
            }
            Ok(())
        };
        prepared.launch(&stream).map_err(text)?;
        expect("after a clean launch", None)?;

        // The same workspace, another input: a page of sequence 3 lies outside the cache.
        let mut faulty = clean.clone();
        faulty.plant(Plant::PageBeyond, 3);
        let other = Prepared::new(&gpu.modules, &stream, &faulty, Asked::rounded(candidate))?;
        let buffers = dustin::attention::launch::AttentionBuffers {
            block_table: other.input.block_table.address(),
            ..prepared.buffers()
        };
        prepared.launch_with(&stream, &buffers).map_err(text)?;
        expect("after a faulty launch", Some((Fault::Page, 3)))?;
        prepared.launch(&stream).map_err(text)?;
        expect("after a clean launch behind a faulty one", Some((Fault::Page, 3)))?;
        prepared.workspace.clear_status(&stream).map_err(text)?;
        prepared.launch(&stream).map_err(text)?;
        expect("after clearing and a clean launch", None)?;
    }
    Ok(())
}
