//! The kernel of appending on the SIMT executor, against the reference, bit for bit.

use dustin::{
    cache::{
        compare::compare,
        synthetic::{AppendInput, Plant, Recipe, SequenceShape},
    },
    kv::KvLayout,
};
use dustin_kernels::{
    executor::{Options, SyncKind, Trace},
    registry::{APPEND, AppendVariant},
};
use dustin_tests::executor_cache::{PreparedAppend, put_far};
use rayon::prelude::*;

/// Random inputs.
const INPUTS: usize = 400;

fn gives_the_reference(variant: &'static AppendVariant, input: &AppendInput) -> Trace {
    let verdict = || {
        let reference = input.reference().map_err(|error| error.to_string())?;
        let mut prepared = PreparedAppend::new(input);
        let trace = prepared.launch(variant, &Options::default())?;
        compare(&reference, &prepared.written()).map_err(|error| error.to_string())?;
        Ok(trace)
    };
    let verdict: Result<Trace, String> = verdict();
    verdict.unwrap_or_else(|error| panic!("{}: {error}\n{:#?}", variant.id, input.step))
}

/// A ragged step: no rows, no confirmed tokens, and rows that begin at, end at and cross the ends of pages.
fn recipe(page_size: u32) -> Recipe {
    let shape = |length, rows| SequenceShape { length, rows };
    Recipe {
        kv_heads: 3,
        group: 2,
        head_dim: 64,
        page_size,
        layout: KvLayout::Nhd,
        interleaved: false,
        head_major: false,
        narrow_table: false,
        sequences: vec![
            shape(0, 2),
            shape(13, 0),
            shape(page_size, 5),
            shape(2 * page_size - 1, 1),
            shape(3 * page_size - 2, 5),
            shape(page_size / 2, 1),
        ],
        spare: 1,
        padding: 1,
        seed: u64::from(page_size),
    }
}

/// Every page size, both layouts and head sizes, gaps, rows from none to 9, with and without queries, and, in one of four, a
/// planted fault.
#[test]
fn random_steps_give_the_reference_with_every_variant() {
    (0..INPUTS).into_par_iter().for_each(|index| {
        let input = AppendInput::random(index as u64, 600, 9).expect("a valid recipe");
        gives_the_reference(&APPEND[index % APPEND.len()], &input);
    });
}

#[test]
fn every_page_size_layout_and_order_of_rows_gives_the_reference() {
    let forms = (0..=8).flat_map(|bits| {
        [KvLayout::Nhd, KvLayout::Hnd].into_iter().flat_map(move |layout| {
            [(false, 64), (true, 128)].map(|(flag, head_dim)| Recipe {
                layout,
                head_dim,
                interleaved: flag,
                head_major: !flag,
                ..recipe(1 << bits)
            })
        })
    });
    for recipe in forms {
        let input = AppendInput::new(&recipe).expect("a valid recipe");
        for variant in APPEND {
            gives_the_reference(variant, &input);
        }
    }
}

#[test]
fn the_most_rows_of_a_sequence_are_appended() {
    let sequences = vec![SequenceShape { length: 77, rows: 64 }, SequenceShape { length: 5, rows: 63 }];
    let input = AppendInput::new(&Recipe { sequences, spare: 0, ..recipe(16) }).expect("a valid recipe");
    for variant in APPEND {
        gives_the_reference(variant, &input);
    }
}

#[test]
fn every_planted_fault_is_reported_and_leaves_what_it_should() {
    for plant in Plant::ALL {
        for sequence in [0, 2, 4] {
            let mut input = AppendInput::new(&recipe(4)).expect("a valid recipe");
            assert!(input.step.plant(plant, sequence), "{plant:?}");
            assert_ne!(input.reference().expect("a valid step").status, 0, "{plant:?}");
            for variant in APPEND {
                gives_the_reference(variant, &input);
            }
        }
    }
}

#[test]
fn rows_are_appended_beyond_2_to_the_32_items() {
    let sequences = vec![SequenceShape { length: 3, rows: 5 }];
    for interleaved in [false, true] {
        let recipe = Recipe { sequences: sequences.clone(), spare: 0, interleaved, ..recipe(16) };
        let near = AppendInput::new(&recipe).expect("a valid recipe");
        let reference = near.reference().expect("a valid step");
        let mut input = near.clone();
        let far = put_far(&mut input.step);
        for variant in APPEND {
            let mut prepared = PreparedAppend::with_addresses(&input, |buffers| {
                buffers.key_cache -= far;
                buffers.value_cache -= far;
            });
            prepared.launch(variant, &Options::default()).expect("nothing to report");
            compare(&reference, &prepared.written()).expect("the same as in a near cache");
        }
    }
}

#[test]
fn without_query_heads_keys_and_values_are_appended_alone() {
    let input = AppendInput::new(&Recipe { group: 0, ..recipe(16) }).expect("a valid recipe");
    assert!(input.query.is_empty() && input.query_copy.is_empty());
    for variant in APPEND {
        gives_the_reference(variant, &input);
    }
}

/// There is nothing to drop but the wait for the launch before: no thread reads what another writes, and the race detector
/// agrees.
#[test]
fn the_kernel_needs_no_synchronisation_with_itself() {
    let input = AppendInput::new(&recipe(4)).expect("a valid recipe");
    for variant in APPEND {
        let syncs = gives_the_reference(variant, &input).syncs;
        let kinds: Vec<SyncKind> = syncs.iter().map(|(site, _)| site.kind).collect();
        assert_eq!(kinds, vec![SyncKind::GridWait; usize::from(variant.overlaps)], "{}", variant.id);
    }
}
