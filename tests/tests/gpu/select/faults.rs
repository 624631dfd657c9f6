//! What only the device can see.

use dustin::select::{
    launch::SelectBuffers,
    synthetic::{Plant, Scores},
};
use dustin_kernels::fault::Fault;
use dustin_tests::{
    cuda_select::Prepared,
    gpu::{Gpu, text, trial},
    select::{judge, reference_of},
};
use libtest_mimic::Trial;

use super::{super::stream, candidates, ragged, rules};

pub(super) fn trials() -> Vec<Trial> {
    let planted = Plant::ALL.into_iter().map(|plant| {
        let name = format!("a_planted_{plant:?}_is_reported_by_selection_and_gives_the_defined_result");
        trial(name, move |gpu| reported(gpu, plant))
    });
    planted.chain([trial("the_status_word_of_selection_stays_until_it_is_cleared", sticky)]).collect()
}

fn reported(gpu: &Gpu, plant: Plant) -> Result<(), String> {
    let stream = stream(gpu)?;
    for sequence in [0, 7] {
        let mut input = ragged(rules(), Scores::Softmax, Scores::Softmax, 3)?;
        if !input.plant(plant, sequence) {
            return Err(format!("{plant:?} cannot be planted"));
        }
        let reference = reference_of(&input)?;
        if reference.status == 0 {
            return Err(format!("the reference does not see {plant:?}"));
        }
        for candidate in candidates(gpu)? {
            let selected = Prepared::new(&gpu.modules, &stream, &input, candidate)?.select(&stream)?;
            judge(&input, &reference, &selected)
                .map_err(|error| format!("{plant:?} in {sequence}, {candidate}: {error}"))?;
        }
    }
    Ok(())
}

fn sticky(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    let clean = ragged(rules(), Scores::Softmax, Scores::Equal, 4)?;
    for candidate in candidates(gpu)? {
        let prepared = Prepared::new(&gpu.modules, &stream, &clean, candidate)?;
        let expect = |when: &str, expected: Option<(Fault, u32)>| {
            let actual = prepared.workspace.status(&stream).map_err(text)?;
            if actual != expected {
                return Err(format!("{candidate}: {when} the status is {actual:?} instead of {expected:?}"));
            }
            Ok(())
        };
        prepared.launch(&stream).map_err(text)?;
        expect("after a clean launch", None)?;

        // The same workspace, another input: the length of sequence 7 is negative.
        let mut faulty = clean.clone();
        faulty.plant(Plant::LengthNegative, 7);
        let other = Prepared::new(&gpu.modules, &stream, &faulty, candidate)?;
        let buffers = SelectBuffers { lengths: other.input.lengths.address(), ..prepared.buffers() };
        prepared.launch_with(&stream, &buffers).map_err(text)?;
        expect("after a faulty launch", Some((Fault::Length, 7)))?;
        prepared.launch(&stream).map_err(text)?;
        expect("after a clean launch behind a faulty one", Some((Fault::Length, 7)))?;
        prepared.workspace.clear_status(&stream).map_err(text)?;
        prepared.launch(&stream).map_err(text)?;
        expect("after clearing and a clean launch", None)?;
    }
    Ok(())
}
