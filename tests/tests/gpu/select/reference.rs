//! Sets against the selection by sorting.

use std::num::NonZero;

use dustin::select::{
    problem::{Fallback, Maps, SelectProblem},
    space::{Candidate, default_candidate},
    synthetic::{Contents, Recipe, Scores, SelectInput, SequenceShape},
};
use dustin_tests::{
    cuda_select::Prepared,
    gpu::{Gpu, text, trial},
    score::for_each_seed,
    select::{judge, reference_of, sinks_and_window},
};
use libtest_mimic::Trial;

use super::{
    super::{problems, stream},
    candidates, ragged, rules,
};

/// Random inputs, unless `DUSTIN_GPU_PROBLEMS` says otherwise: at least 5,000, each with a map or two for each of its
/// sequences.
const PROBLEMS: NonZero<usize> = NonZero::new(5400).unwrap();

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("random_selections_over_all_variants_and_clusters_give_the_reference", random_problems),
        trial("every_kind_of_map_gives_the_reference_with_every_rule", every_kind),
        trial("sinks_and_a_window_are_the_first_and_the_last_positions", windows),
        trial("selections_of_4096_of_1048576_give_the_reference", million),
        trial("full_batches_give_the_reference_with_the_untuned_choice", full_batches),
    ]
}

/// Judges what each candidate gives for `input`.
fn judge_all(gpu: &Gpu, input: &SelectInput, candidates: &[Candidate]) -> Result<(), String> {
    let stream = stream(gpu)?;
    let reference = reference_of(input)?;
    candidates.iter().try_for_each(|&candidate| {
        let selected = Prepared::new(&gpu.modules, &stream, input, candidate)?.select(&stream)?;
        judge(input, &reference, &selected)
            .map_err(|error| format!("{candidate}: {error}\n{:#?}", input.problem))
    })
}

/// Now and then a long one.
fn random_problems(gpu: &'static Gpu) -> Result<(), String> {
    let count = problems(PROBLEMS)?;
    let candidates = candidates(gpu)?;
    for_each_seed(count, |index, seed| {
        let max_length = match index % 32 {
            0 => 100_000,
            1..8 => 9000,
            _ => 600,
        };
        let input = SelectInput::random(seed, max_length).map_err(text)?;
        // 32 and the number of candidates may have a factor in common.
        let candidate = candidates[(index + index / 32) % candidates.len()];
        judge_all(gpu, &input, &[candidate])
    });
    println!("random selections compared with the reference: {count}");
    Ok(())
}

fn every_kind(gpu: &'static Gpu) -> Result<(), String> {
    let candidates = candidates(gpu)?;
    let forms = [
        rules(),
        SelectProblem { quota: 0, ..rules() },
        SelectProblem { quota: 256, sinks: 0, recent: 0, without_target: Fallback::Everything, ..rules() },
        SelectProblem { maps: Maps::Target, quota: 0, sinks: 256, recent: 0, ..rules() },
        SelectProblem { maps: Maps::Draft, everything: 300, ..rules() },
        SelectProblem { block: 4, ..rules() },
        SelectProblem { block: 16, pooling: 5, ..rules() },
        SelectProblem { budget: 255, quota: 63, block: 3, pooling: 63, ..rules() },
    ];
    for (seed, &kind) in Scores::ALL.iter().enumerate() {
        for (number, &form) in forms.iter().enumerate() {
            let other = Scores::ALL[(seed + number) % Scores::ALL.len()];
            let input = ragged(form, other, kind, seed as u64)?;
            judge_all(gpu, &input, &candidates).map_err(|error| format!("{other:?}, {kind:?}: {error}"))?;
        }
    }
    Ok(())
}

/// MagicDec's set for a draft model.
fn windows(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (sinks, recent) in [(4, 252), (0, 64), (64, 0), (16, 2000)] {
        let budget = sinks + recent;
        let lengths = [budget + 1, 0, 1, budget - 1, budget, 32_768, 131_072];
        let (input, expected) = sinks_and_window(&lengths, sinks, recent);
        for candidate in candidates(gpu)? {
            let selected = Prepared::new(&gpu.modules, &stream, &input, candidate)?.select(&stream)?;
            judge(&input, &expected, &selected)
                .map_err(|error| format!("{sinks} + {recent}, {candidate}: {error}"))?;
        }
    }
    Ok(())
}

fn million(gpu: &'static Gpu) -> Result<(), String> {
    let candidates = candidates(gpu)?;
    let forms = [
        SelectProblem::plain(1, 1, 4096),
        SelectProblem {
            maps: Maps::Both,
            quota: 1024,
            sinks: 4,
            recent: 64,
            ..SelectProblem::plain(1, 1, 4096)
        },
    ];
    for (index, &kind) in Scores::ALL.iter().enumerate() {
        for rules in forms {
            let recipe = Recipe {
                rules,
                sequences: vec![SequenceShape { length: 1 << 20, has_target: true }],
                page_size: Some(16),
                narrow_table: false,
                target_slots: false,
                spare: 0,
                contents: Contents {
                    draft: Scores::ALL[(index + 5) % Scores::ALL.len()],
                    target: kind,
                    gap: 1,
                    seed: index as u64,
                },
            };
            let input = recipe.input().map_err(text)?;
            judge_all(gpu, &input, &candidates).map_err(|error| format!("{kind:?}: {error}"))?;
        }
    }
    Ok(())
}

fn full_batches(gpu: &'static Gpu) -> Result<(), String> {
    for (batch, length) in [(16, 32_768), (64, 32_768), (16, 131_072), (1, 1_048_576)] {
        let problem = SelectProblem {
            maps: Maps::Both,
            quota: 128,
            sinks: 4,
            recent: 64,
            ..SelectProblem::plain(batch, batch * length, 512)
        };
        let input = SelectInput::uniform(&problem, length, 7).map_err(text)?;
        let candidate = default_candidate(&problem, &gpu.modules.device().limits()).map_err(text)?;
        judge_all(gpu, &input, &[candidate]).map_err(|error| format!("{batch} x {length}: {error}"))?;
    }
    Ok(())
}
