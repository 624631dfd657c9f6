use dustin_kernels::{fault::Fault, select::params::EVERYTHING};

use super::*;
use crate::select::{
    problem::{Fallback, Maps},
    reference,
};

fn recipe() -> Recipe {
    let shape = |length, has_target| SequenceShape { length, has_target };
    Recipe {
        rules: SelectProblem {
            quota: 4,
            sinks: 1,
            recent: 2,
            maps: Maps::Both,
            ..SelectProblem::plain(1, 1, 8)
        },
        sequences: vec![shape(40, true), shape(0, true), shape(17, false), shape(8, true), shape(1, true)],
        page_size: Some(4),
        narrow_table: false,
        target_slots: true,
        spare: 3,
        contents: Contents { draft: Scores::Softmax, target: Scores::Bits, gap: 2, seed: 7 },
    }
}

fn bits(map: &Option<Vec<f32>>) -> Vec<u32> {
    map.iter().flatten().map(|score| score.to_bits()).collect()
}

#[test]
fn the_same_seed_gives_the_same_input_and_another_seed_another() {
    let (first, again) = (recipe().input().unwrap(), recipe().input().unwrap());
    assert_eq!((bits(&first.draft), bits(&first.target)), (bits(&again.draft), bits(&again.target)));
    assert_eq!(first.block_table, again.block_table);
    let mut other = recipe();
    other.contents.seed += 1;
    assert_ne!(bits(&first.draft), bits(&other.input().unwrap().draft));
}

#[test]
fn what_no_sequence_has_is_poison() {
    let input = recipe().input().unwrap();
    assert_eq!(input.map_starts, [2, 44, 46, 65, 75, 78]);
    assert_eq!(input.problem.map_capacity, 81);
    let draft = input.draft.as_ref().unwrap();
    let poison = |score: &&f32| score.is_nan() || **score >= f32::MAX;
    assert_eq!(draft.iter().filter(poison).count(), 81 - 66);
    assert!(draft[2..42].iter().all(|score| score.is_finite()));
    let pages = input.problem.table.unwrap().pages as i32;
    let entries = input.block_table.as_ref().unwrap();
    assert_eq!(entries.iter().filter(|page| (0..pages).contains(page)).count(), 10 + 5 + 2 + 1);
    assert_eq!(input.target_slots.unwrap()[2], -1);
}

#[test]
fn kinds_of_maps_are_what_they_say() {
    let fill = |scores: Scores| {
        let mut items = vec![0.5; 1000];
        scores.fill(&mut items, &mut Pcg64Mcg::seed_from_u64(3));
        items
    };
    let distinct = |items: &[f32]| {
        items.iter().map(|item| item.to_bits()).collect::<std::collections::HashSet<_>>().len()
    };
    assert_eq!(distinct(&fill(Scores::Equal)), 1);
    assert_eq!(distinct(&fill(Scores::TwoValues)), 2);
    assert!(distinct(&fill(Scores::Softmax)) > 950);
    assert!((fill(Scores::Softmax).iter().sum::<f32>() - 1.0).abs() < 1e-3);
    let spike = fill(Scores::Spike);
    assert_eq!(spike.iter().filter(|&&item| item.abs() == 2.0).count(), 1);
    assert_eq!(distinct(&spike), 2);
    assert!(fill(Scores::Ascending).is_sorted() && fill(Scores::Descending).is_sorted_by(|a, b| a >= b));
    assert!(fill(Scores::Denormals).iter().all(|item| item.is_subnormal() || *item == 0.0));
    assert!(fill(Scores::Denormals).iter().any(|item| *item < 0.0));
    let zeros = fill(Scores::Zeros);
    assert!(zeros.iter().filter(|item| item.is_sign_negative() && **item == 0.0).count() > 300);
    assert!(fill(Scores::Infinities).contains(&f32::INFINITY));
    assert!(fill(Scores::Nans).iter().filter(|item| item.is_nan()).count() > 500);
    for scores in Scores::ALL {
        scores.fill(&mut [], &mut Pcg64Mcg::seed_from_u64(3));
    }
}

#[test]
fn every_planted_fault_is_reported() {
    for plant in Plant::ALL {
        let mut input = recipe().input().unwrap();
        assert!(input.plant(plant, 0), "{plant:?}");
        let expected = match plant {
            Plant::LengthNegative => Fault::Length.word(0),
            Plant::LengthBeyond | Plant::LengthHuge | Plant::MapNegative => Fault::Map.word(0),
            Plant::MapDescending | Plant::MapBeyond | Plant::MapWrapping => Fault::Map.word(4),
            Plant::SlotBeyond => Fault::Slot.word(0),
            Plant::PageBeyond | Plant::PageNegative => Fault::Page.word(0),
        };
        let reference = reference::select(&input.problem, &input.arrays()).unwrap();
        assert_eq!(reference.status, expected, "{plant:?}");
        let mut plain = Recipe { page_size: None, target_slots: false, ..recipe() }.input().unwrap();
        let needy = matches!(plant, Plant::SlotBeyond | Plant::PageBeyond | Plant::PageNegative);
        assert_eq!(plain.plant(plant, 0), !needy);
        assert!(!plain.plant(plant, 5));
    }
}

#[test]
fn a_narrow_table_leaves_positions_without_a_slot() {
    let input = Recipe { narrow_table: true, ..recipe() }.input().unwrap();
    let reference = reference::select(&input.problem, &input.arrays()).unwrap();
    assert_eq!(Fault::parse(reference.status), Some((Fault::Length, 0)));
}

#[test]
fn capacities_that_do_not_hold_the_batch_are_refused_by_name() {
    let good = recipe();
    let (problem, strides) = (good.problem(), good.strides());
    let field = |problem: &SelectProblem, sequences: &[SequenceShape]| {
        SelectInput::new(problem, &strides, sequences, good.contents).unwrap_err().field
    };
    assert_eq!(field(&problem, &good.sequences[1..]), "sequences");
    let small = SelectProblem { map_capacity: 77, ..problem };
    assert_eq!(field(&small, &good.sequences), "lengths and gaps in all");
    let table = problem.table.map(|table| super::super::problem::SlotTable { pages: 17, ..table });
    assert_eq!(field(&SelectProblem { table, ..problem }, &good.sequences), "pages in all");
}

#[test]
fn a_uniform_input_has_full_sets() {
    let problem = SelectProblem { quota: 3, maps: Maps::Both, ..SelectProblem::plain(3, 300, 10) };
    let input = SelectInput::uniform(&problem, 100, 1).unwrap();
    let reference = reference::select(&problem, &input.arrays()).unwrap();
    assert!(reference.sets.iter().all(|set| set.size() == 10));
    assert_eq!(SelectInput::uniform(&problem, 101, 1).unwrap_err().field, "lengths and gaps in all");
}

#[test]
fn random_inputs_are_valid_and_meet_every_rule() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..2000 {
        let input = SelectInput::random(seed, 300).unwrap();
        let reference = reference::select(&input.problem, &input.arrays()).unwrap();
        let problem = &input.problem;
        let sizes: Vec<i32> = reference.sets.iter().map(|set| set.size()).collect();
        if let Some((fault, _)) = Fault::parse(reference.status) {
            seen.insert(format!("fault {fault:?}"));
        }
        for (&size, &length) in sizes.iter().zip(&input.lengths) {
            let forced = problem.sinks + problem.recent > 0;
            let budget = problem.budget as i32;
            seen.insert(match size {
                EVERYTHING if length as u32 <= problem.everything => "everything by length".into(),
                EVERYTHING => "everything for want of a target map".into(),
                0 => "nothing".into(),
                _ if size == length => "whole".into(),
                _ if size == budget => {
                    format!("{:?} forced {forced} pooled {}", problem.maps, problem.pooling > 1)
                }
                _ if size > budget - problem.block as i32 => "partial last block".into(),
                _ => "forced alone".into(),
            });
        }
        if problem.quota > 0 && problem.quota == problem.budget {
            seen.insert("the whole budget from the draft".into());
        }
        if problem.sinks + problem.recent == problem.budget && problem.recent > 0 {
            seen.insert("sinks and recent positions fill the budget".into());
        }
        if input.target_slots.iter().flatten().any(|&slot| slot < 0)
            && problem.without_target == Fallback::Draft
        {
            seen.insert("fallback to the draft".into());
        }
    }
    // Faults of Length, Map, Slot and Page; seven sizes; three maps, forced or not, pooled or not; no map, pooled or not; three
    // rules.
    assert_eq!(seen.len(), 4 + 6 + 3 * 2 * 2 + 2 + 3, "{seen:#?}");
}
