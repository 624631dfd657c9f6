use dustin_kernels::{fault::Fault, registry::Dtype};

use super::*;
use crate::{
    element::decode,
    kv::{KvLayout, PagedKv},
    score::{
        problem::Source,
        reference::{self, Position},
    },
};

fn recipe() -> Recipe {
    let shape = |length, room, captured| SequenceShape { length, room, captured };
    Recipe {
        dtype: Dtype::Bf16,
        head_dim: 64,
        kv_heads: 2,
        group: 3,
        page_size: 8,
        layout: KvLayout::Hnd,
        sequences: vec![shape(40, 2, true), shape(0, 0, true), shape(17, 0, false), shape(9, 5, true)],
        sources: Source::mean(&[&[0, 4], &[2]], 2),
        tokens: 2,
        accumulate: false,
        spare: 2,
        padding: 1,
        contents: Contents { logits: Logits::Peaked, slots: true, seed: 7 },
    }
}

fn size() -> Size {
    Size { batch: 4, kv_heads: 3, length: 200, layers: 3, tokens: 3, heads: 8 }
}

#[test]
fn the_same_seed_gives_the_same_input_and_another_seed_another() {
    let first = recipe().input().unwrap();
    let again = recipe().input().unwrap();
    assert_eq!((&first.sources[0].key, &first.slots), (&again.sources[0].key, &again.slots));
    let mut other = recipe();
    other.contents.seed += 1;
    assert_ne!(first.sources[0].key, other.input().unwrap().sources[0].key);
    assert_ne!(first.sources[0].key, first.sources[1].key);
    let random = |seed| Recipe::random(Dtype::F16, 128, size(), seed);
    assert_eq!(random(3), random(3));
    assert_ne!(random(3), random(4));
}

#[test]
fn what_nothing_uses_is_poison() {
    let numbers = |items: &[u16]| items.iter().filter(|&&bits| bits != NAN).count();
    let input = recipe().input().unwrap();
    for (source, heads) in input.sources.iter().zip([2, 1]) {
        assert_eq!(numbers(&source.key), 66 * 2 * 64);
        // Three sequences with two tokens each.
        assert_eq!(numbers(&source.query), 3 * 2 * heads * 64);
    }
    let pages = input.problem.kv.pages as i32;
    assert_eq!(input.block_table.iter().filter(|page| (0..pages).contains(page)).count(), 5 + 3 + 2);
    assert_eq!(input.map_starts, [2, 44, 44, 61, 75]);
    assert!(input.map.iter().all(|x| x.is_nan()));
    let slots = input.slots.unwrap();
    assert!(slots[2] < 0 && (0..6).contains(&slots[0]) && slots[0] != slots[3]);

    let added = Recipe { accumulate: true, ..recipe() }.input().unwrap();
    assert_eq!(added.map.iter().filter(|x| x.is_finite()).count(), 66);
}

#[test]
fn peaked_logits_reach_thirty_and_flat_ones_stay_near_zero() {
    for (logits, range) in [(Logits::Flat, 3.0..6.0), (Logits::Peaked, 24.0..40.0)] {
        let mut recipe = recipe();
        recipe.contents.logits = logits;
        recipe.sequences[0].length = 3000;
        let input = recipe.input().unwrap();
        let value = |bits: u16| f64::from(decode(Dtype::Bf16, bits));
        let slot = input.slots.as_ref().unwrap()[0] as u32;
        let query = &input.sources[0].query[input.strides.query(slot, 0, 0) as usize..][..64];
        let most = (0..3000).map(|position| {
            let page = input.block_table[position / 8] as u32;
            let at = input.problem.kv.offset(page, position as u32 % 8, 0) as usize;
            let products = query.iter().zip(&input.sources[0].key[at..]).map(|(&q, &k)| value(q) * value(k));
            (f64::from(input.scale) * products.sum::<f64>()).abs()
        });
        let most = most.fold(0.0, f64::max);
        assert!(range.contains(&most), "{logits:?}: {most}");
    }
}

#[test]
fn random_inputs_have_no_fault_and_give_finite_scores() {
    for seed in 0..60 {
        let recipe = Recipe::random(Dtype::Bf16, 64, size(), seed);
        let input = recipe.input().unwrap();
        let reference = reference::score(&input.problem, &input.arrays(), &input.map).unwrap();
        assert_eq!(reference.status, 0, "{recipe:?}");
        for (position, score) in reference.positions.iter().zip(&reference.map) {
            assert_eq!(*position == Position::Untouched, score.is_nan(), "{recipe:?}");
        }
    }
}

#[test]
fn every_planted_fault_is_reported_and_leaves_finite_scores() {
    for plant in Plant::ALL {
        for layout in [KvLayout::Nhd, KvLayout::Hnd] {
            let mut input = Recipe { layout, ..recipe() }.input().unwrap();
            assert!(input.plant(plant, 0), "{plant:?}");
            let reference = reference::score(&input.problem, &input.arrays(), &input.map).unwrap();
            let (fault, _) = Fault::parse(reference.status).unwrap();
            assert_eq!(fault, plant.fault(), "{plant:?}");
            for (position, score) in reference.positions.iter().zip(&reference.map) {
                assert_eq!(*position == Position::Untouched, score.is_nan(), "{plant:?}");
            }
        }
    }
}

#[test]
fn a_fault_that_the_input_has_no_place_for_is_not_planted() {
    let mut input = recipe().input().unwrap();
    assert!(!input.plant(Plant::PageBeyond, 1));
    assert!(!input.plant(Plant::PageBeyond, 2));
    assert!(!input.plant(Plant::LengthNegative, 4));
    input.slots = None;
    assert!(!input.plant(Plant::SlotBeyond, 0));
    input.lengths = vec![8; 4];
    assert!(!input.plant(Plant::LengthBeyond, 0));
}

#[test]
fn capacities_that_do_not_hold_the_sequences_are_refused_by_field() {
    let problem = ScoreProblem {
        batch: 2,
        map_capacity: 128,
        tokens: 1,
        slots: 2,
        query_heads: 4,
        kv: PagedKv::dense(KvLayout::Nhd, 8, 16, 2, 64),
        table_width: 4,
        dtype: Dtype::F16,
        sources: Source::mean(&[&[0]], 1),
        accumulate: false,
    };
    let input = ScoreInput::uniform(&problem, 64, 1).unwrap();
    assert_eq!(input.map_starts, [0, 64, 128]);
    let field = |change: &dyn Fn(&mut ScoreProblem)| {
        let mut problem = problem.clone();
        change(&mut problem);
        ScoreInput::uniform(&problem, 64, 1).unwrap_err().field
    };
    assert_eq!(field(&|p| p.table_width = 3), "length");
    assert_eq!(field(&|p| p.map_capacity = 127), "map positions in all");
    assert_eq!(field(&|p| p.kv.pages = 7), "pages in all");
    assert_eq!(field(&|p| p.slots = 1), "sequences with queries");
    assert_eq!(field(&|p| p.batch = 0), "batch");
    assert_eq!(field(&|p| (p.kv.pages, p.kv.page_stride) = (i32::MAX as u32, 1 << 40)), "kv");
    let contents = Contents { logits: Logits::Flat, slots: true, seed: 0 };
    let one = [SequenceShape { length: 1, room: 0, captured: false }];
    let error = ScoreInput::new(&problem, &ScoreStrides::dense(&problem), &one, contents).unwrap_err();
    assert_eq!(error.field, "sequences");
}

#[test]
fn a_ranks_share_holds_its_heads_and_nothing_of_the_others() {
    let whole = Recipe { kv_heads: 4, sources: Source::mean(&[&[0, 2, 4, 9], &[2]], 2), ..recipe() };
    let whole = whole.input().unwrap();
    let heads = |share: &ScoreInput| -> Vec<Vec<u32>> {
        let heads = |source: &Source| source.heads.iter().map(|captured| captured.head).collect();
        share.problem.sources.iter().map(heads).collect()
    };
    let shares: Vec<_> = (0..4).map(|rank| whole.share(4, rank).unwrap()).collect();
    let [Some(first), Some(second), None, Some(last)] = &shares[..] else {
        panic!("the third rank alone has no heads")
    };
    assert_eq!([first, second, last].map(heads), [vec![vec![0, 2], vec![2]], vec![vec![1]], vec![vec![0]]]);

    // Head 9 of the whole is the fourth that is captured; its KV head is the last.
    assert_eq!(last.problem.kv.kv_heads, 1);
    for (slot, token) in [(0, 0), (2, 1)] {
        let from = whole.strides.query(slot, token, 3) as usize;
        let to = last.strides.query(slot, token, 0) as usize;
        assert_eq!(last.sources[0].query[to..to + 64], whole.sources[0].query[from..from + 64]);
    }
    let page = whole.block_table[0] as u32;
    let (from, to) = (whole.problem.kv.offset(page, 5, 3), last.problem.kv.offset(page, 5, 0));
    let key = &last.sources[0].key[to as usize..][..64];
    assert_eq!(key, &whole.sources[0].key[from as usize..][..64]);
    assert!(key.iter().all(|&bits| bits != NAN));
    assert_eq!(last.sources[0].key.len() as u64, last.problem.kv.extent());

    assert_eq!(whole.share(3, 0).unwrap_err().field, "tp_size");
    assert_eq!(whole.share(4, 4).unwrap_err().field, "tp_rank");
}
