//! From queries to sets, whatever the back end: the scorings of a step, the selection from the maps that they wrote, and how
//! it compares with the selection from the f64 maps.

use dustin::{
    Dtype,
    kv::KvLayout,
    score::{
        problem::Source,
        reference::Reference,
        synthetic::{self, Logits, Recipe, ScoreInput, SequenceShape},
    },
    select::{
        arrays::SelectStrides,
        compare::Selected,
        problem::{Maps, SelectProblem, SlotTable},
        reference::Selection,
        synthetic::SelectInput,
    },
};

use crate::{
    score::{self, Scored},
    select,
};

/// The least share of what the f64 maps select that the sets must hold: of all sequences together, since of one set of 512 it would
/// mean all (record 0014).
const LEAST_RECALL: f64 = 0.999;

/// The most positions that one set may lack: one, where two scores hardly differ.
const MOST_LACKING: usize = 1;

/// A step: the target's and the draft's scorings of the same sequences, and the selection from both maps.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The target's.
    pub target: ScoreInput,
    /// The draft's, in caches and tables of another geometry.
    pub draft: ScoreInput,
    /// The selection. Its maps hold what nothing may be selected by: [`over`](Self::over) puts others in their place.
    pub select: SelectInput,
    references: [Reference; 2],
}

impl Chain {
    /// Sets of `budget` positions, half of them from the draft's map first, of a ragged batch: three sequences of `length`
    /// tokens, one of them without a target map, one of a seventh, one of no more than the budget, and one of none.
    ///
    /// # Errors
    /// The lengths or the budget are of no valid problem.
    pub fn new(dtype: Dtype, logits: Logits, length: u32, budget: u32) -> Result<Self, String> {
        let shape = |length, captured| SequenceShape { length, room: 3, captured };
        let sequences = vec![
            shape(length, true),
            shape(budget, true),
            shape(length, false),
            shape(0, true),
            shape(length / 7, true),
            shape(length, true),
        ];
        let target = Recipe {
            dtype,
            head_dim: 128,
            kv_heads: 2,
            group: 4,
            page_size: 16,
            layout: KvLayout::Nhd,
            sequences: sequences.clone(),
            sources: Source::mean(&[&[0, 2, 3, 7]], 1),
            tokens: 1,
            accumulate: false,
            spare: 2,
            padding: 0,
            contents: synthetic::Contents { logits, slots: true, seed: 1 },
        };
        let draft = Recipe {
            head_dim: 64,
            group: 7,
            page_size: 32,
            layout: KvLayout::Hnd,
            sequences: sequences.into_iter().map(|shape| SequenceShape { captured: true, ..shape }).collect(),
            sources: Source::mean(&[&[0, 1, 6, 9], &[3, 8, 12, 13], &[2, 5]], 4),
            tokens: 4,
            contents: synthetic::Contents { seed: 2, ..target.contents },
            ..target.clone()
        };
        let target = target.input().map_err(|error| error.to_string())?;
        let draft = draft.input().map_err(|error| error.to_string())?;
        let rules = SelectProblem {
            maps: Maps::Both,
            quota: budget / 2,
            sinks: 4,
            recent: budget / 16,
            ..SelectProblem::plain(1, 1, budget)
        };
        let unusable = vec![f32::NAN; target.map.len()];
        let select = selection(&target, rules, unusable.clone(), Some(unusable));
        let references = [score::reference_of(&target)?, score::reference_of(&draft)?];
        Ok(Self { target, draft, select, references })
    }

    /// The selection from other maps.
    #[must_use]
    pub fn over(&self, target: Vec<f32>, draft: Vec<f32>) -> SelectInput {
        SelectInput { target: Some(target), draft: Some(draft), ..self.select.clone() }
    }

    /// Judges what a back end's step gave: the maps by the f64 reference; the sets by the exact selection from these maps,
    /// bit for bit, and by the selection from the f64 maps.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn judge(&self, target: &Scored, draft: &Scored, selected: &Selected) -> Result<(), String> {
        let [target_reference, draft_reference] = &self.references;
        score::judge(&self.target, target_reference, target)
            .map_err(|error| format!("the target's map: {error}"))?;
        score::judge(&self.draft, draft_reference, draft)
            .map_err(|error| format!("the draft's map: {error}"))?;
        let select = self.over(target.map.clone(), draft.map.clone());
        select::judge(&select, &select::reference_of(&select)?, selected)?;
        require_recall(&select, &target_reference.map, Some(&draft_reference.map), selected)
    }
}

/// The selection by `rules` from maps of the sequences of `scored`, with its slots, and its tables to look positions up in.
#[must_use]
pub fn selection(
    scored: &ScoreInput,
    rules: SelectProblem,
    target: Vec<f32>,
    draft: Option<Vec<f32>>,
) -> SelectInput {
    let of = &scored.problem;
    let table = SlotTable { pages: of.kv.pages, page_size: of.kv.page_size, table_width: of.table_width };
    let problem = SelectProblem {
        batch: of.batch,
        map_capacity: of.map_capacity,
        slots: scored.slots.is_some().then_some(of.slots),
        table: Some(table),
        ..rules
    };
    SelectInput {
        problem,
        strides: SelectStrides { table: scored.strides.table, ..SelectStrides::dense(&problem) },
        draft,
        target: Some(target),
        map_starts: scored.map_starts.clone(),
        lengths: scored.lengths.clone(),
        target_slots: scored.slots.clone(),
        block_table: Some(scored.block_table.clone()),
    }
}

/// Requires that the sets of `input`, which selects by tokens and without pooling, are those that its rules select from the
/// f64 maps.
///
/// # Errors
/// The first sequence whose set lacks too many of them, or how few all sets hold.
pub fn require_recall(
    input: &SelectInput,
    target: &[f64],
    draft: Option<&[f64]>,
    selected: &Selected,
) -> Result<(), String> {
    let exact = SelectInput { target: Some(ordinals(target)), draft: draft.map(ordinals), ..input.clone() };
    let (mut common, mut wanted) = (0, 0);
    for (sequence, set) in select::reference_of(&exact)?.sets.iter().enumerate() {
        let Selection::Set { positions, .. } = set else { continue };
        let (size, row, _) = select::set_of(input, selected, sequence);
        let found = &row[..usize::try_from(size).unwrap_or(0).min(row.len())];
        let lacking = positions.iter().filter(|position| found.binary_search(position).is_err()).count();
        let of = positions.len();
        if lacking > MOST_LACKING {
            return Err(format!("sequence {sequence}: its set lacks {lacking} of the {of} best"));
        }
        (common, wanted) = (common + of - lacking, wanted + of);
    }
    if (common as f64) < LEAST_RECALL * wanted as f64 {
        return Err(format!("{common} of the {wanted} best are in their sets"));
    }
    Ok(())
}

/// The scores' numbers in ascending order, equal ones having the same: from these the same positions are selected, and fp32
/// holds them exactly.
fn ordinals(scores: &[f64]) -> Vec<f32> {
    assert!(scores.len() <= 1 << f32::MANTISSA_DIGITS, "more scores than fp32 can count");
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ordinals = vec![0.0; scores.len()];
    for pair in order.windows(2) {
        let higher = scores[pair[0]] != scores[pair[1]];
        ordinals[pair[1]] = ordinals[pair[0]] + if higher { 1.0 } else { 0.0 };
    }
    ordinals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_tell_apart_what_fp32_does_not() {
        assert_eq!(ordinals(&[1.0 + 1e-12, 0.0, 1.0, -0.0, 1.0]), [2.0, 0.0, 1.0, 0.0, 1.0]);
        assert!(ordinals(&[]).is_empty());
    }

    #[test]
    fn a_set_that_lacks_one_of_the_best_is_refused_although_other_forced_ones_are_there() {
        let target = [0.3, 0.1, 0.2, 0.4, 0.0];
        let rules = SelectProblem { recent: 1, ..SelectProblem::plain(1, 5, 3) };
        let mut input = SelectInput::uniform(&rules, 5, 1).unwrap();
        input.target = Some(target.map(|score| score as f32).to_vec());
        let verdict = |set: [i32; 3]| {
            let selected = Selected { set: set.to_vec(), physical: None, set_sizes: vec![3], status: 0 };
            require_recall(&input, &target, None, &selected)
        };
        assert_eq!(verdict([0, 3, 4]), Ok(()));
        assert_eq!(verdict([2, 3, 4]).unwrap_err(), "2 of the 3 best are in their sets");
        assert_eq!(verdict([1, 2, 4]).unwrap_err(), "sequence 0: its set lacks 2 of the 3 best");
    }
}
