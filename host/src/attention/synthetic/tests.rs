use dustin_kernels::{fault::Fault, registry::Dtype};

use super::*;
use crate::{
    attention::{
        problem::{Confirmed, Mask, Sets},
        reference,
    },
    kv::{KvLayout, PagedKv},
};

fn recipe() -> Recipe {
    let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
    Recipe {
        dtype: Dtype::Bf16,
        head_dim: 64,
        kv_heads: 2,
        group: 3,
        page_size: 8,
        layout: KvLayout::Hnd,
        sequences: vec![shape(40, 2, 11), shape(0, 1, 0), shape(17, 0, 5), shape(9, 3, 9)],
        confirmed: Confirmed::Sets(Sets::of_positions(0)),
        mask: Mask::Causal,
        spare: 2,
        padding: 1,
        head_major: false,
        lse: true,
        contents: Contents { logits: Logits::Peaked, sorted: false, poison_unselected: false, seed: 7 },
    }
}

#[test]
fn the_same_seed_gives_the_same_input_and_another_seed_another() {
    let first = recipe().input().unwrap();
    let again = recipe().input().unwrap();
    assert_eq!((&first.key, &first.set, &first.block_table), (&again.key, &again.set, &again.block_table));
    let mut other = recipe();
    other.contents.seed += 1;
    assert_ne!(first.key, other.input().unwrap().key);
}

#[test]
fn what_nothing_uses_is_poison() {
    let numbers = |items: &[u16]| items.iter().filter(|&&bits| bits != NAN).count();
    let input = recipe().input().unwrap();
    assert_eq!(numbers(&input.key), (66 + 6) * 2 * 64);
    assert_eq!(numbers(&input.value), (66 + 6) * 2 * 64);
    assert_eq!(numbers(&input.query), 6 * 6 * 64);
    let pages = input.problem.kv.pages as i32;
    assert_eq!(input.block_table.iter().filter(|page| (0..pages).contains(page)).count(), 6 + 1 + 3 + 2);
    assert_eq!(input.set.iter().filter(|position| (0..40).contains(*position)).count(), 11 + 5 + 9);

    let mut sparse = recipe();
    sparse.contents.poison_unselected = true;
    let input = sparse.input().unwrap();
    assert_eq!(numbers(&input.key), (11 + 5 + 9 + 6) * 2 * 64);
    assert_eq!(reference::attention(&input.problem, &input.arrays()).unwrap().status, 0);
}

#[test]
fn items_are_normal_with_the_spread_asked_for() {
    let input = recipe().input().unwrap();
    let deviation = |items: &[u16]| {
        let values: Vec<f64> = items
            .iter()
            .filter(|&&bits| bits != NAN)
            .map(|&bits| f64::from(crate::element::decode(Dtype::Bf16, bits)))
            .collect();
        (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
    };
    assert!((deviation(&input.key) - 1.0).abs() < 0.1);
    assert!((deviation(&input.query) - 8.0).abs() < 0.8);
}

#[test]
fn every_planted_fault_is_reported_and_leaves_finite_outputs() {
    for plant in Plant::ALL {
        let mut input = recipe().input().unwrap();
        assert!(input.plant(plant, 0), "{plant:?}");
        let reference = reference::attention(&input.problem, &input.arrays()).unwrap();
        let expected = match plant {
            Plant::PageBeyond | Plant::PageNegative => Fault::Page.word(0),
            Plant::PositionBeyond | Plant::PositionNegative => Fault::Position.word(0),
            Plant::SetSizeBeyond | Plant::SetSizeNegative => Fault::SetSize.word(0),
            Plant::LengthBeyond | Plant::LengthNegative => Fault::Length.word(0),
            Plant::RowsNegative => Fault::Rows.word(0),
            Plant::RowsDescending | Plant::RowsAboveCapacity | Plant::RowsBeyond | Plant::RowsWrapping => {
                Fault::Rows.word(3)
            }
        };
        assert_eq!(reference.status, expected, "{plant:?}");
        assert!(reference.output.iter().all(|x| x.is_finite()), "{plant:?}");
    }
}

#[test]
fn a_fault_that_needs_a_set_or_rows_is_not_planted_without() {
    let mut input = recipe().input().unwrap();
    assert!(!input.plant(Plant::PositionBeyond, 1));
    assert!(input.plant(Plant::PageBeyond, 1));
    assert!(!input.plant(Plant::PageBeyond, 2));
    assert!(!input.plant(Plant::SetSizeBeyond, 4));
}

#[test]
fn a_uniform_input_fills_every_set() {
    let problem = AttentionProblem {
        batch: 2,
        rows: 3,
        total_rows: 6,
        confirmed: Confirmed::Sets(Sets::of_positions(10)),
        query_heads: 4,
        kv: PagedKv::dense(KvLayout::Nhd, 10, 16, 2, 64),
        table_width: 5,
        dtype: Dtype::F16,
        mask: Mask::Causal,
        lse: false,
        batch_invariant: false,
    };
    let input = AttentionInput::uniform(&problem, 64, 1).unwrap();
    assert_eq!(input.set_sizes, [10, 10]);
    assert_eq!(input.row_starts, [0, 3, 6]);
    assert!(input.set.chunks(10).all(|set| set.is_sorted() && set.iter().all(|p| (0..64).contains(p))));
    let error = AttentionInput::uniform(&problem, 78, 1).unwrap_err();
    assert_eq!((error.field, error.actual.as_str()), ("length + rows", "81"));
    let few = AttentionProblem { kv: PagedKv { pages: 9, ..problem.kv }, ..problem };
    assert_eq!(AttentionInput::uniform(&few, 64, 1).unwrap_err().field, "pages in all");
}

#[test]
fn a_problem_beyond_the_hosts_memory_is_refused() {
    let good = recipe().input().unwrap();
    let refused = |problem: &AttentionProblem, strides: &AttentionStrides| {
        let error =
            AttentionInput::new(problem, strides, &recipe().sequences, recipe().contents).unwrap_err();
        assert_eq!(error.field, "memory");
        error.actual
    };
    let mut problem = good.problem;
    problem.kv.page_stride = 1 << 40;
    problem.kv.token_stride = 1 << 36;
    problem.kv.pages = 1 << 20;
    assert!(refused(&problem, &good.strides).contains("bytes"));
    let wide = AttentionStrides { query_row: 1 << 40, ..good.strides };
    let many = AttentionProblem { rows: 64, total_rows: 256, ..good.problem };
    let bytes = 2 * (255 * (1 << 40) + 64 + (many.query_heads as usize - 1) * wide.query_head as usize);
    let wide = AttentionStrides { query_row: 1 << 40, output_head: 1 << 20, ..wide };
    assert_eq!(refused(&many, &wide), format!("too little for {bytes} bytes"));
    let wide = AttentionStrides { table: 1 << 40, ..good.strides };
    refused(&good.problem, &wide);
    let wide = AttentionStrides { set: 1 << 40, ..good.strides };
    refused(&good.problem, &wide);
}
