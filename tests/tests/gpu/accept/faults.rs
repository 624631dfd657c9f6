//! What only the device can see: masked, reported, sticky.

use dustin::accept::synthetic::{AcceptInput, Plant, Recipe};
use dustin_kernels::{
    fault::Fault,
    registry::{ACCEPT_ROWS, ACCEPT_WALK},
};
use dustin_tests::{
    cuda_accept::{PreparedAccept, judge},
    gpu::{Gpu, text, trial},
};
use libtest_mimic::Trial;

use super::super::stream;

pub(super) fn trials() -> Vec<Trial> {
    let planted = Plant::ALL.into_iter().map(|plant| {
        let name = format!("a_planted_{plant:?}_is_reported_by_acceptance_and_gives_what_it_should");
        trial(name, move |gpu| reported(gpu, plant))
    });
    let sticky = trial("the_status_word_of_acceptance_stays_until_it_is_cleared", sticky);
    planted.chain([sticky]).collect()
}

fn reported(gpu: &Gpu, plant: Plant) -> Result<(), String> {
    let stream = stream(gpu)?;
    let mut planted = 0;
    for seed in 0..60 {
        let mut input = AcceptInput::sound(seed, 400, 9).map_err(text)?;
        if !input.plant(plant, 0) {
            continue;
        }
        planted += 1;
        for walk in ACCEPT_WALK {
            let given = judge(gpu, &stream, &input, &ACCEPT_ROWS[0], walk)
                .map_err(|error| format!("{plant:?}, {seed}: {error}"))?;
            if given.status == 0 {
                return Err(format!("{plant:?}, {seed}: nothing is reported"));
            }
        }
    }
    if planted == 0 { Err(format!("{plant:?} cannot be planted")) } else { Ok(()) }
}

fn sticky(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for walk in ACCEPT_WALK {
        let clean = AcceptInput::new(&Recipe::uniform(3, 4, 1000, 1)).map_err(text)?;
        let mut prepared = PreparedAccept::new(&gpu.modules, &stream, &clean, &ACCEPT_ROWS[0], walk)?;
        let word = Some((Fault::Temperature, 2));
        for (when, temperatures, expected) in [
            ("after a clean launch", [1.0; 3], None),
            ("after a faulty launch", [1.0, 1.0, f32::NAN], word),
            ("after a clean launch behind a faulty one", [1.0; 3], word),
        ] {
            prepared.input.temperatures.upload(&stream, 0, &temperatures).map_err(text)?;
            prepared.launch(&stream).map_err(text)?;
            let actual = prepared.workspace.status(&stream).map_err(text)?;
            if actual != expected {
                return Err(format!("{}: {when} the status is {actual:?} instead of {expected:?}", walk.id));
            }
        }
        prepared.workspace.clear_status(&stream).map_err(text)?;
        prepared.launch(&stream).map_err(text)?;
        if prepared.workspace.status(&stream).map_err(text)?.is_some() {
            return Err(format!("{}: the status returns after clearing and a clean launch", walk.id));
        }
    }
    Ok(())
}
