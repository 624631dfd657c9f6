//! What only the device can see.

use dustin::score::{launch::ScoreBuffers, synthetic::Plant};
use dustin_kernels::fault::Fault;
use dustin_tests::{
    cuda_score::Prepared,
    gpu::{Gpu, text, trial},
    score::{judge, reference_of},
};
use libtest_mimic::Trial;

use super::{super::stream, candidates, ragged_input};

pub(super) fn trials() -> Vec<Trial> {
    let planted = Plant::ALL.into_iter().map(|plant| {
        let name = format!("a_planted_{plant:?}_is_masked_in_the_map_and_reported");
        trial(name, move |gpu| masked(gpu, plant))
    });
    planted.chain([trial("the_status_word_of_scoring_stays_until_it_is_cleared", sticky)]).collect()
}

fn masked(gpu: &Gpu, plant: Plant) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in candidates().enumerate() {
        let mut input = ragged_input(candidate, seed as u64)?;
        if !input.plant(plant, 0) {
            return Err(format!("{plant:?} cannot be planted"));
        }
        let reference = reference_of(&input)?;
        if reference.status == 0 {
            return Err(format!("the reference does not see {plant:?}"));
        }
        let scored = Prepared::new(&gpu.modules, &stream, &input, candidate)?.score(&stream)?;
        judge(&input, &reference, &scored)
            .map_err(|error| format!("{plant:?}, {candidate}, seed {seed}: {error}"))?;
    }
    Ok(())
}

fn sticky(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for candidate in candidates().step_by(5) {
        let clean = ragged_input(candidate, 1)?;
        let prepared = Prepared::new(&gpu.modules, &stream, &clean, candidate)?;
        let expect = |when: &str, expected: Option<(Fault, u32)>| {
            let actual = prepared.workspace.status(&stream).map_err(text)?;
            if actual != expected {
                return Err(format!("{candidate}: {when} the status is {actual:?} instead of {expected:?}"));
            }
            Ok(())
        };
        prepared.launch(&stream).map_err(text)?;
        expect("after a clean job", None)?;

        // The same workspace, another input: a page of sequence 2 lies outside the cache.
        let mut faulty = clean.clone();
        faulty.plant(Plant::PageBeyond, 2);
        let other = Prepared::new(&gpu.modules, &stream, &faulty, candidate)?;
        let buffers = ScoreBuffers { block_table: other.input.block_table.address(), ..prepared.buffers() };
        prepared.launch_with(&stream, &buffers).map_err(text)?;
        expect("after a faulty job", Some((Fault::Page, 2)))?;
        prepared.launch(&stream).map_err(text)?;
        expect("after a clean job behind a faulty one", Some((Fault::Page, 2)))?;
        prepared.workspace.clear_status(&stream).map_err(text)?;
        prepared.launch(&stream).map_err(text)?;
        expect("after clearing and a clean job", None)?;
    }
    Ok(())
}
