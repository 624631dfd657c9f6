//! Small problems for every variant: cheap enough for compute-sanitizer. Filter by the name `sanitize`.

use dustin::select::synthetic::{Scores, SelectInput};
use dustin_kernels::registry::{SELECT, SelectVariant};
use dustin_tests::{
    cuda_select::Prepared,
    gpu::{Gpu, text, trial},
    select::{judge, reference_of},
};
use libtest_mimic::Trial;

use super::{super::stream, candidates, ragged, rules};

pub(super) fn trials() -> Vec<Trial> {
    let small = |variant: &'static SelectVariant| {
        trial(format!("sanitize_{}", variant.id), move |gpu| select(gpu, variant))
    };
    SELECT.iter().map(small).collect()
}

/// A batch whose ties take a selection through all its passes, and random ones, with every cluster.
fn select(gpu: &Gpu, variant: &'static SelectVariant) -> Result<(), String> {
    let stream = stream(gpu)?;
    let random = (0..4).map(|seed| SelectInput::random(seed, 700).map_err(text));
    let inputs = [ragged(rules(), Scores::TwoValues, Scores::Equal, 8)].into_iter().chain(random);
    for input in inputs {
        let input = input?;
        let reference = reference_of(&input)?;
        for candidate in candidates(gpu)?.into_iter().filter(|candidate| candidate.variant.id == variant.id) {
            let selected = Prepared::new(&gpu.modules, &stream, &input, candidate)?.select(&stream)?;
            judge(&input, &reference, &selected).map_err(|error| format!("{candidate}: {error}"))?;
        }
    }
    Ok(())
}
