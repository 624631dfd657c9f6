//! Whole steps with acceptance: what one leaves is what the next one starts from.

use dustin::{
    accept::arrays::AcceptOutput,
    cpu::{AcceptedArrays, CaptureRowArrays},
    element::encode,
    verifier::{Served, Stage},
};
use dustin_kernels::fault::Fault;
use dustin_tests::verifier::{
    cpu,
    world::{DRAFT, NAN, Recipe, World},
};

use super::judged;

#[test]
fn the_next_step_scores_with_the_queries_of_the_last_accepted_rows() {
    for recipe in [Recipe::usual(51), Recipe::all_asked(52)] {
        let world = World::new(&Recipe { accepts: true, ..recipe });
        let order = [8, 0, 1, 2, 3, 5, 6, 7];
        let (batch, outcome) = judged(&world, &order);
        let settled = outcome.settled.as_ref().expect("accepted");
        let lengths: Vec<usize> =
            batch.proposals.iter().flat_map(|own| own.planned.iter().map(Vec::len)).collect();
        assert!(lengths.iter().any(|&rows| rows > 2) && lengths.contains(&1), "{lengths:?}");
        // Sequence 8 had no query, so that all of its tokens were read; now it has.
        assert_eq!(outcome.selected.set_sizes[0], dustin_kernels::attention::params::EVERYTHING);
        let next = world.next(&batch, &outcome, 53);
        let (_, after) = judged(&next, &order);
        assert_eq!(after.selected.set_sizes[0], 48);
        // The captured queries decide: with those of the step before other tokens are chosen.
        let mut stale = next.clone();
        stale.target_queries.clone_from(&world.target_queries);
        let (_, of_stale) = judged(&stale, &order);
        assert_ne!(settled.target_queries, world.target_queries);
        assert!(of_stale.selected.set != after.selected.set);
    }
}

#[test]
fn whatever_sequences_a_step_has_they_accept_what_their_drafts_deserve() {
    // The batches that a graph is replayed for on a GPU.
    let orders =
        [&[0, 1, 2, 3, 4, 5, 6, 7, 8][..], &[5, 4, 3], &[8, 1, 7, 2, 0], &[6], &[0, 1, 2, 3, 4, 5, 6, 7, 8]];
    for recipe in [Recipe::usual(83), Recipe::all_asked(84)] {
        let world = World::new(&Recipe { accepts: true, ..recipe });
        for order in orders {
            assert!(judged(&world, order).1.settled.is_some());
        }
    }
}

#[test]
fn a_prompts_last_row_is_captured_whatever_its_rows() {
    let world = World::new(&Recipe::usual(54));
    let mut verifier = cpu::verifier(&world.problem, 1).unwrap();
    // Prompts of 300 and 2 rows, more than a step has; the first sequence's is not asked for.
    let (heads, dim) = (16, 64);
    let query: Vec<u16> = (0..302 * heads * dim).map(|item| item as u16 % 0x7f00).collect();
    let mut row_starts = vec![302; 11];
    row_starts[..2].copy_from_slice(&[0, 300]);
    let mut slots = vec![-1; 10];
    slots[1] = 4;
    let rows = CaptureRowArrays {
        query: &query,
        query_row: (heads * dim) as u64,
        query_head: dim as u64,
        total_rows: 302,
        row_starts: &row_starts,
        rows: None,
        slots: Some(&slots),
    };
    let captured = world.stages.target_captured.clone();
    let mut queries = vec![NAN; captured.items() as usize];
    for layer in 0..3 {
        verifier.capture_target(layer, &rows, &mut queries).unwrap();
    }
    let expected = |head: usize| &query[(301 * heads + head) * dim..][..dim];
    let own = &queries[4 * captured.slot_stride() as usize..][..captured.slot_stride() as usize];
    // Heads 1 and 6 of layer 0, then 0, 1 and 9 of layer 2; layer 1 has none.
    assert_eq!(own, [1, 6, 0, 1, 9].map(expected).concat());
    let written = queries.iter().filter(|&&item| item != NAN).count();
    assert_eq!(written, own.len());
    assert_eq!(verifier.status(), []);
    assert_eq!(verifier.capture_target(3, &rows, &mut queries).unwrap_err().field, "layer");
    let short = CaptureRowArrays { total_rows: 303, ..rows };
    assert_eq!(verifier.capture_target(0, &short, &mut queries).unwrap_err().field, "query");
    assert_eq!(verifier.capture_target(0, &rows, &mut queries[1..]).unwrap_err().field, "queries");
    let beyond = [77; 10];
    let rows = CaptureRowArrays { slots: Some(&beyond), ..rows };
    verifier.capture_target(0, &rows, &mut queries).unwrap();
    assert_eq!(verifier.status(), [(Stage::TargetCapture, Fault::Slot, 1)]);
}

#[test]
fn each_forward_of_the_draft_has_its_token_of_the_slots() {
    let world = World::new(&Recipe::usual(55));
    let mut verifier = cpu::verifier(&world.problem, 1).unwrap();
    let captured = world.stages.draft_captured.clone();
    let (heads, dim) = (DRAFT.query_heads as usize, DRAFT.head_dim as usize);
    // A value for each forward, layer, row and head.
    let query = |token: u32, layer: u32, row: usize, head: usize| {
        encode(world.problem.target.dtype, (token + 4 * layer) as f32 + 8.0 * (row * heads + head) as f32)
    };
    let row_starts: Vec<i32> = (0..11).collect();
    let slots: Vec<i32> = (0..10).rev().collect();
    let mut queries = vec![NAN; captured.items() as usize];
    for (token, layer) in (0..4).flat_map(|token| (0..2).map(move |layer| (token, layer))) {
        let items: Vec<u16> = (0..10 * heads * dim)
            .map(|item| query(token, layer, item / dim / heads, item / dim % heads))
            .collect();
        let rows = CaptureRowArrays {
            query: &items,
            query_row: (heads * dim) as u64,
            query_head: dim as u64,
            total_rows: 10,
            row_starts: &row_starts,
            rows: None,
            slots: Some(&slots),
        };
        verifier.capture_draft(layer, token, &rows, &mut queries).unwrap();
        assert_eq!(verifier.capture_draft(layer, 4, &rows, &mut queries).unwrap_err().field, "token");
        assert_eq!(verifier.capture_draft(2, token, &rows, &mut queries).unwrap_err().field, "layer");
    }
    for (row, slot) in slots.iter().enumerate() {
        for token in 0..4 {
            let at = *slot as u64 * captured.slot_stride() + token * captured.token_stride();
            let own = queries[at as usize..].chunks(dim).map(|head| head[0]).take(3);
            let expected =
                [(0, 4), (1, 0), (1, 1)].map(|(layer, head)| query(token as u32, layer, row, head));
            assert!(own.eq(expected), "forward {token} of row {row}");
        }
    }
}

#[test]
fn stages_that_the_problem_does_not_have_are_refused_by_name() {
    let mut recipe = Recipe::usual(56);
    recipe.rules.m = 0;
    let world = World::new(&Recipe { accepts: true, ..Recipe::usual(56) });
    let (batch, without) = (world.batch(&[0]), World::new(&recipe));
    let mut verifier = cpu::verifier(&without.problem, 1).unwrap();
    let mut nothing: [[i32; 0]; 4] = [[]; 4];
    let [accepted, emitted, path, last_rows] = &mut nothing;
    let output = AcceptOutput { accepted, emitted, path, last_rows, new_lengths: None };
    let arrays = batch.proposals.as_ref().unwrap().arrays();
    let error = verifier.accept(&cpu::step(&world, &batch), &arrays, output).unwrap_err();
    assert_eq!(error.field, "stage");
    assert!(matches!(verifier.report().served(Stage::Acceptance), Some(Served::Idle { .. })));
    let rows = CaptureRowArrays {
        query: &[],
        query_row: 0,
        query_head: 0,
        total_rows: 1,
        row_starts: &[],
        rows: None,
        slots: None,
    };
    assert_eq!(verifier.capture_draft(0, 0, &rows, &mut []).unwrap_err().field, "stage");
    // Paths have no counts, lists of the engine's own have.
    let mut accepting = cpu::verifier(&world.problem, 1).unwrap();
    let counted = AcceptedArrays { rows: &batch.accepted, stride: 5, counts: &batch.accepted_counts };
    let refused = accepting.compact(&cpu::step(&world, &batch), &counted, &mut []).unwrap_err();
    assert_eq!(refused.field, "accepted_counts");
}

#[test]
fn a_fault_in_what_is_accepted_is_acceptances() {
    let world = World::new(&Recipe { accepts: true, ..Recipe::usual(57) });
    let mut batch = world.batch(&[0, 7]);
    batch.proposals.as_mut().unwrap().temperatures[1] = -1.0;
    let mut verifier = cpu::verifier(&world.problem, 1).unwrap();
    cpu::run(&mut verifier, &world, &batch).unwrap();
    assert_eq!(verifier.status(), [(Stage::Acceptance, Fault::Temperature, 1)]);
}
