//! Selection.
//!
//! | file | what it tests |
//! |---|---|
//! | `reference` | random and adversarial maps, and long ones, against the selection by sorting, bit for bit |
//! | `faults` | what only the device can see: reported, sticky, with the defined result |
//! | `determinism` | the same bits, whatever else is in the batch, by a launch or a graph |
//! | `sanitize` | small problems for every variant, cheap enough for compute-sanitizer |

mod determinism;
mod faults;
mod reference;
mod sanitize;

use dustin::select::{
    problem::{Maps, SelectProblem},
    space::{self, Candidate},
    synthetic::{Contents, Recipe, Scores, SelectInput, SequenceShape},
};
use dustin_tests::gpu::{Gpu, text};
use libtest_mimic::Trial;

pub(super) fn trials() -> Vec<Trial> {
    [reference::trials(), faults::trials(), determinism::trials(), sanitize::trials()]
        .into_iter()
        .flatten()
        .collect()
}

/// Every variant with every cluster that the device can run.
pub(super) fn candidates(gpu: &Gpu) -> Result<Vec<Candidate>, String> {
    let any = SelectProblem::plain(1, 1, 1);
    Ok(space::candidates(&any, &gpu.modules.device().limits()).map_err(text)?.0)
}

/// Sinks and recent positions, a quota, and both maps.
fn rules() -> SelectProblem {
    SelectProblem { maps: Maps::Both, quota: 64, sinks: 4, recent: 30, ..SelectProblem::plain(1, 1, 256) }
}

/// A ragged batch with gaps of poison: no tokens, one, fewer than the budget, as many, one more, and many; one without a
/// target map.
fn ragged(rules: SelectProblem, draft: Scores, target: Scores, seed: u64) -> Result<SelectInput, String> {
    let shape = |(index, length)| SequenceShape { length, has_target: index != 3 };
    let lengths = [9001, 0, 1, 700, rules.budget - 1, rules.budget, rules.budget + 1, 5000];
    let recipe = Recipe {
        rules,
        sequences: lengths.into_iter().enumerate().map(shape).collect(),
        page_size: Some(16),
        narrow_table: false,
        target_slots: true,
        spare: 3,
        contents: Contents { draft, target, gap: 5, seed },
    };
    recipe.input().map_err(text)
}
