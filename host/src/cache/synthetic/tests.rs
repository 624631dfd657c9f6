use dustin_kernels::fault::Fault;

use super::*;
use crate::kv::KvLayout;

fn recipe() -> Recipe {
    let shape = |length, rows| SequenceShape { length, rows };
    Recipe {
        kv_heads: 3,
        group: 2,
        head_dim: 64,
        page_size: 4,
        layout: KvLayout::Hnd,
        interleaved: true,
        head_major: false,
        narrow_table: false,
        sequences: vec![shape(7, 3), shape(0, 0), shape(100, 5), shape(12, 1)],
        spare: 2,
        padding: 1,
        seed: 7,
    }
}

#[test]
fn the_same_seed_gives_the_same_input_and_another_seed_another() {
    let input = |seed| AppendInput::new(&Recipe { seed, ..recipe() }).unwrap();
    let (first, again, other) = (input(1), input(1), input(2));
    assert_eq!((&first.key, &first.layer), (&again.key, &again.layer));
    assert_eq!(first.step.block_table, again.step.block_table);
    assert_ne!(first.layer, other.layer);
}

#[test]
fn tables_name_the_pages_of_the_steps_own_rows_alone() {
    let input = AppendInput::new(&recipe()).unwrap().step;
    assert_eq!(input.row_starts, [0, 3, 3, 8, 9]);
    assert_eq!((input.step.rows, input.step.total_rows, input.step.kv.pages), (7, 11, 3 + 2 + 1 + 1 - 1 + 1));
    let named = |page: &&i32| (0..input.step.kv.pages as i32).contains(*page);
    let mut pages: Vec<i32> = input.block_table.iter().filter(named).copied().collect();
    assert_eq!(pages.len(), 3 + 2 + 1 - 1);
    pages.sort_unstable();
    pages.dedup();
    assert_eq!(pages.len(), 3 + 2 + 1 - 1, "no page is named twice");
}

#[test]
fn a_narrow_table_leaves_the_last_rows_without_a_place() {
    let input = AppendInput::new(&Recipe { narrow_table: true, ..recipe() }).unwrap();
    assert_eq!(input.reference().unwrap().status, Fault::Length.word(2));
}

#[test]
fn appending_leaves_every_sound_row_in_the_caches() {
    let input = AppendInput::new(&recipe()).unwrap();
    let written = input.reference().unwrap();
    assert_eq!(written.status, 0);
    let changed = input.layer.items.iter().zip(&written.layers[0].items).filter(|(a, b)| a != b).count();
    let items = 9 * 2 * 3 * 64;
    assert!(changed <= items && changed > items - items / 100, "{changed} of {items}");
    let copied = input.query_copy.iter().zip(&written.query_copy).filter(|(a, b)| a != b).count();
    let items = 9 * 6 * 64;
    assert!(copied <= items && copied > items - items / 100, "{copied} of {items}");
}

#[test]
fn every_planted_fault_is_reported() {
    for plant in Plant::ALL {
        let mut input = AppendInput::new(&recipe()).unwrap();
        assert!(input.step.plant(plant, 2), "{plant:?}");
        let expected = match plant {
            Plant::PageBeyond | Plant::PageNegative => Fault::Page.word(2),
            Plant::LengthBeyond | Plant::LengthHuge | Plant::LengthNegative => Fault::Length.word(2),
            Plant::RowsNegative => Fault::Rows.word(0),
            _ => Fault::Rows.word(3),
        };
        assert_eq!(input.reference().unwrap().status, expected, "{plant:?}");
        let needs_rows = matches!(
            plant,
            Plant::PageBeyond | Plant::PageNegative | Plant::LengthBeyond | Plant::LengthHuge
        );
        assert_eq!(input.step.plant(plant, 1), !needs_rows, "{plant:?}");
        assert!(!input.step.plant(plant, 4));
    }
}

#[test]
fn random_inputs_are_valid_and_of_every_kind() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..600 {
        let recipe = Recipe::random(seed, 300, 9);
        let input = AppendInput::random(seed, 300, 9).unwrap();
        let fault = Fault::parse(input.reference().unwrap().status).map(|(fault, _)| fault);
        seen.insert(format!("fault {fault:?}"));
        seen.insert(format!("page {}", recipe.page_size));
        seen.insert(format!("{:?} interleaved {}", recipe.layout, recipe.interleaved));
        seen.insert(format!("{} heads outside {}", recipe.head_dim, recipe.head_major));
        seen.insert(format!("group {}", recipe.group));
        for shape in recipe.sequences {
            let (first, rows) = (shape.length % recipe.page_size, shape.rows);
            seen.insert(if rows == 0 {
                "no rows".into()
            } else {
                format!("boundary {}", first + rows > recipe.page_size)
            });
        }
    }
    // Four verdicts, nine page sizes, four layouts, four kinds of rows, five groups, and how rows meet pages.
    assert_eq!(seen.len(), 4 + 9 + 4 + 4 + 5 + 3, "{seen:#?}");
}

fn acceptance() -> Acceptance {
    Acceptance { layers: 2, accepted: Some(3), counted: true }
}

#[test]
fn lists_ascend_and_end_as_the_problem_says() {
    for counted in [true, false] {
        let input = CompactInput::new(&recipe(), Acceptance { counted, ..acceptance() }).unwrap();
        assert_eq!((input.problem.accepted, input.accepted_stride), (5, 7));
        assert_eq!(input.counts.as_deref(), counted.then_some(&[3, 0, 3, 1][..]));
        assert_eq!(input.accepted.len(), 3 * 7 + 5);
        assert!(input.accepted[14..17].is_sorted_by(|a, b| a < b));
        assert!(counted || input.accepted[17] < 0);
        let written = input.reference().unwrap();
        assert_eq!(written.status, 0);
        assert!(written.layers.iter().zip(&input.layers).all(|(after, before)| after != before));
    }
}

#[test]
fn every_fault_planted_in_a_list_is_reported() {
    for plant in ListPlant::ALL {
        let mut input = CompactInput::new(&recipe(), acceptance()).unwrap();
        assert!(input.plant(plant, 2), "{plant:?}");
        assert_eq!(input.reference().unwrap().status, Fault::Accepted.word(2), "{plant:?}");
        let of_count = matches!(plant, ListPlant::CountNegative | ListPlant::CountBeyond);
        assert_eq!(input.plant(plant, 1), of_count, "{plant:?}");
        assert!(!input.plant(plant, 4));
    }
    for seed in 0..100 {
        let uncounted = Acceptance { counted: false, ..acceptance() };
        for plant in ListPlant::ALL {
            let mut input = CompactInput::new(&Recipe { seed, ..recipe() }, uncounted).unwrap();
            let planted = input.plant(plant, 2);
            assert_eq!(input.reference().unwrap().status != 0, planted, "{seed}, {plant:?}");
        }
    }
}

#[test]
fn random_compactions_meet_every_fault_and_move_anything_from_no_row_to_all() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..600 {
        let input = CompactInput::random(seed, 300, 9).unwrap();
        let written = input.reference().unwrap();
        let fault = Fault::parse(written.status).map(|(fault, _)| fault);
        let still = written.layers == input.layers;
        seen.insert(format!("fault {fault:?}, still {still}"));
        seen.insert(format!("counted {}, still {still}", input.problem.counted));
    }
    assert_eq!(seen.len(), 5 * 2 + 2 * 2, "{seen:#?}");
}
