//! The selection kernel on the SIMT executor, against the reference by sorting.

use dustin::select::{
    compare::compare,
    problem::{Maps, SelectProblem},
    reference,
    space::Candidate,
    synthetic::{Contents, Plant, Recipe, Scores, SelectInput, SequenceShape},
};
use dustin_kernels::executor::Options;
use dustin_tests::{
    executor_select::{PreparedSelect, select_candidates},
    select::{reference_of, sinks_and_window},
};
use rayon::prelude::*;

/// Random inputs for each candidate.
const INPUTS: usize = 24;

/// The most positions of a sequence: all warps of a block of few have some, but only some warps of many.
const LENGTH: u32 = 512;

/// Returns whether the blocks have counted the digits of all units together, as they do where candidates do not tell.
fn gives_the_reference(candidate: Candidate, input: &SelectInput) -> bool {
    prepared_gives_the_reference(candidate, input, PreparedSelect::new(input))
}

fn prepared_gives_the_reference(
    candidate: Candidate,
    input: &SelectInput,
    mut prepared: PreparedSelect,
) -> bool {
    let mut attempt = || {
        let reference =
            reference::select(&input.problem, &input.arrays()).map_err(|error| error.to_string())?;
        let trace = prepared.launch(candidate, &Options::default())?;
        compare(&input.problem, &input.strides, &reference, &prepared.selected())
            .map_err(|error| error.to_string())?;
        Ok(trace.syncs.iter().any(|(site, _)| site.file.ends_with("histogram.rs")))
    };
    let verdict: Result<bool, String> = attempt();
    verdict.unwrap_or_else(|error| panic!("{candidate}: {error}\n{:#?}", input.problem))
}

/// A batch of sequences that all have both maps, in gaps of poison.
fn input(rules: SelectProblem, lengths: &[u32], draft: Scores, target: Scores) -> SelectInput {
    let shape = |&length: &u32| SequenceShape { length, has_target: true };
    let recipe = Recipe {
        rules,
        sequences: lengths.iter().map(shape).collect(),
        page_size: Some(16),
        narrow_table: false,
        target_slots: true,
        spare: 3,
        contents: Contents { draft, target, gap: 5, seed: 17 },
    };
    recipe.input().expect("a valid recipe")
}

/// Sinks and recent positions, a quota, and both maps.
fn rules() -> SelectProblem {
    SelectProblem { maps: Maps::Both, quota: 16, sinks: 3, recent: 10, ..SelectProblem::plain(1, 1, 48) }
}

/// `SelectInput::random` draws adversarial maps, every rule and, in one of four, a planted fault.
#[test]
fn every_variant_with_every_cluster_gives_the_reference_on_random_inputs() {
    let candidates = select_candidates();
    let count = candidates.len() * INPUTS;
    assert!(count >= 300);
    (0..count).into_par_iter().for_each(|index| {
        let input = SelectInput::random(index as u64, LENGTH).expect("a valid recipe");
        gives_the_reference(candidates[index % candidates.len()], &input);
    });
}

/// Lengths below, at and just above the budget, odd ones, and one whose last block is partial.
#[test]
fn every_kind_of_map_gives_the_reference_by_tokens_by_blocks_and_pooled() {
    let forms = [
        rules(),
        SelectProblem { quota: 0, ..rules() },
        SelectProblem { quota: 48, sinks: 0, recent: 0, ..rules() },
        SelectProblem { block: 4, ..rules() },
        SelectProblem { block: 3, pooling: 5, quota: 18, ..rules() },
    ];
    let candidates = select_candidates();
    let count = Scores::ALL.len() * forms.len();
    (0..count).into_par_iter().for_each(|index| {
        let kind = |ahead: usize| Scores::ALL[(index + ahead) % Scores::ALL.len()];
        let form = forms[index / Scores::ALL.len()];
        let input = input(form, &[301, 0, 1, 47, 48, 49, 130], kind(0), kind(index / 5));
        gives_the_reference(candidates[index % candidates.len()], &input);
    });
}

/// MagicDec's set for a draft model. What is expected is written down here, and by the reference.
#[test]
fn sinks_and_a_window_are_the_first_and_the_last_positions() {
    select_candidates().par_iter().for_each(|&candidate| {
        for (sinks, recent) in [(4, 28), (0, 32), (32, 0), (1, 16)] {
            let budget = sinks + recent;
            let lengths = [budget + 1, 0, 1, budget - 1, budget, 333, 9000];
            let (input, expected) = sinks_and_window(&lengths, sinks, recent);
            assert_eq!(reference_of(&input).as_ref(), Ok(&expected));
            gives_the_reference(candidate, &input);
        }
    });
}

/// A warp of the smallest block has more units than its lanes keep masks of, ties go beyond the first digit of the units'
/// numbers, and maps of equal scores give more candidates than there is room for, in one block and in clusters.
#[test]
fn long_sequences_give_the_reference() {
    let kinds = [Scores::Softmax, Scores::Equal, Scores::Crowded];
    let cases: Vec<_> =
        select_candidates().into_iter().flat_map(|candidate| kinds.map(|kind| (candidate, kind))).collect();
    cases.par_iter().for_each(|&(candidate, kind)| {
        let units = 1024 * 8 + 1500;
        gives_the_reference(candidate, &input(rules(), &[units, 3000], Scores::TwoValues, kind));
    });
}

/// A thread has from one word of scores to 24 in turns.
#[test]
fn importance_maps_are_chosen_from_among_candidates() {
    let rules = SelectProblem { quota: 30, ..SelectProblem { budget: 100, ..rules() } };
    select_candidates().par_iter().for_each(|&candidate| {
        for lengths in [[2500, 131], [9001, 4003], [25_000, 7000]] {
            let input = input(rules, &lengths, Scores::Softmax, Scores::Softmax);
            assert!(!gives_the_reference(candidate, &input), "{candidate}");
        }
    });
}

/// All that is best lies in the lines of 128 bytes that one block of eight looks at, which then holds back what the others do
/// not have; in as many lines of all blocks it does not.
#[test]
fn what_is_best_gives_the_reference_even_if_one_block_has_all_of_it() {
    let rules =
        SelectProblem { quota: 100, sinks: 4, recent: 20, ..SelectProblem { budget: 400, ..rules() } };
    let of_8_blocks = select_candidates().into_iter().filter(|of| of.cluster == 8);
    let cases: Vec<_> =
        of_8_blocks.flat_map(|of| [true, false].map(|of_one_block| (of, of_one_block))).collect();
    cases.par_iter().for_each(|&(candidate, of_one_block)| {
        let mut input = input(rules, &[9000], Scores::Softmax, Scores::Softmax);
        for map in [input.draft.as_mut(), input.target.as_mut()].into_iter().flatten() {
            for eight_lines in 0..35 {
                // As the kernel deals lines to blocks.
                let quarter = eight_lines % (candidate.variant.tile.threads() as usize / 8);
                let turn = quarter + quarter / 4 + quarter / 16 + quarter / 64;
                let of_block = if of_one_block { 3 } else { eight_lines };
                let line = 8 * eight_lines + (of_block + turn) % 8;
                map[32 * line..][..32].iter_mut().step_by(2).for_each(|item| *item *= 1e3);
            }
        }
        assert_eq!(gives_the_reference(candidate, &input), of_one_block, "{candidate}");
    });
}

/// Of two maps whose words of 16 bytes do not lie alike, no word is read.
#[test]
fn maps_that_are_not_aligned_alike_give_the_reference() {
    let rules = rules();
    select_candidates().par_iter().for_each(|&candidate| {
        let input = input(rules, &[1500, 90, 700], Scores::Softmax, Scores::Softmax);
        let prepared = PreparedSelect::with_maps_aligned_differently(&input);
        assert!(prepared_gives_the_reference(candidate, &input, prepared), "{candidate}");
    });
}

#[test]
fn every_planted_fault_is_reported_and_gives_the_defined_result() {
    let candidates = select_candidates();
    let cases: Vec<_> =
        Plant::ALL.into_iter().flat_map(|plant| [0, 2].map(|sequence| (plant, sequence))).collect();
    cases.par_iter().enumerate().for_each(|(index, &(plant, sequence))| {
        let mut input = input(rules(), &[90, 40, 70], Scores::Softmax, Scores::Softmax);
        assert!(input.plant(plant, sequence), "{plant:?}");
        let reference = reference::select(&input.problem, &input.arrays()).expect("a valid problem");
        assert_ne!(reference.status, 0, "{plant:?}");
        for step in 0..3 {
            gives_the_reference(candidates[(5 * index + 3 * step) % candidates.len()], &input);
        }
    });
}
