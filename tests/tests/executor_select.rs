//! The selection kernel on the SIMT executor, against the reference by sorting.

use dustin::select::{compare::compare, reference, synthetic::SelectInput};
use dustin_kernels::executor::Options;
use dustin_tests::executor_select::{PreparedSelect, SelectLaunch, select_launches};
use rayon::prelude::*;

/// Random inputs for each launch.
const INPUTS: u64 = 24;

/// The most positions of a sequence: several batches of loads for a block of few warps, none for some warps of many.
const LENGTH: u32 = 400;

fn gives_the_reference(launch: SelectLaunch, input: &SelectInput) {
    let verdict = || {
        let reference =
            reference::select(&input.problem, &input.arrays()).map_err(|error| error.to_string())?;
        let mut prepared = PreparedSelect::new(input);
        prepared.launch(launch, &Options::default())?;
        compare(&input.problem, &input.strides, &reference, &prepared.selected())
            .map_err(|error| error.to_string())
    };
    let verdict: Result<(), String> = verdict();
    verdict.unwrap_or_else(|error| panic!("{launch}: {error}\n{:#?}", input.problem));
}

/// Adversarial maps, every rule and, in one of four, a planted fault: `SelectInput::random` draws them all.
#[test]
fn every_variant_with_every_cluster_gives_the_reference_on_random_inputs() {
    let launches = select_launches();
    assert!(launches.len() as u64 * INPUTS >= 300);
    let count = launches.len() as u64 * INPUTS;
    (0..count).into_par_iter().for_each(|seed| {
        let launch = launches[seed as usize % launches.len()];
        let input = SelectInput::random(seed, LENGTH).expect("a valid recipe");
        gives_the_reference(launch, &input);
    });
}
