//! The kernel of compacting on the SIMT executor, against the reference, bit for bit.

use dustin::{
    cache::{
        compare::{Written, compare},
        synthetic::{Acceptance, CompactInput, ListPlant, Plant, Recipe, SequenceShape},
    },
    kv::KvLayout,
};
use dustin_kernels::{
    executor::{Options, Trace},
    fault::Fault,
    registry::{COMPACT, CompactVariant},
};
use dustin_tests::executor_cache::{PreparedCompact, put_far};
use rayon::prelude::*;

/// Random inputs.
const INPUTS: usize = 400;

fn gives(
    variant: &'static CompactVariant,
    input: &CompactInput,
    mut prepared: PreparedCompact,
    reference: &Written,
) -> Trace {
    let trace = prepared.launch(variant, &Options::default());
    let verdict = trace.and_then(|trace| {
        compare(reference, &prepared.written()).map_err(|error| error.to_string())?;
        Ok(trace)
    });
    verdict.unwrap_or_else(|error| panic!("{}: {error}\n{:#?}\n{:?}", variant.id, input.step, input.accepted))
}

fn gives_the_reference(variant: &'static CompactVariant, input: &CompactInput) -> Trace {
    let reference = input.reference().expect("a valid input");
    gives(variant, input, PreparedCompact::new(input), &reference)
}

/// A ragged step: no rows, no confirmed tokens, and trees across the ends of pages.
fn recipe(page_size: u32) -> Recipe {
    let shape = |length, rows| SequenceShape { length, rows };
    Recipe {
        kv_heads: 3,
        group: 0,
        head_dim: 64,
        page_size,
        layout: KvLayout::Nhd,
        interleaved: false,
        head_major: false,
        narrow_table: false,
        sequences: vec![shape(0, 12), shape(13, 0), shape(3 * page_size - 2, 16), shape(page_size, 2)],
        spare: 1,
        padding: 1,
        seed: u64::from(page_size),
    }
}

fn acceptance(counted: bool) -> Acceptance {
    Acceptance { layers: 3, accepted: Some(6), counted }
}

/// Every page size, both layouts and head sizes, gaps, one to four layers, any rows accepted of up to 40, with counts and
/// without, and, in one of four, a planted fault.
#[test]
fn random_steps_give_the_reference_with_every_variant() {
    (0..INPUTS).into_par_iter().for_each(|index| {
        let rows = if index % 4 == 0 { 40 } else { 10 };
        let input = CompactInput::random(index as u64, 600, rows).expect("a valid recipe");
        gives_the_reference(&COMPACT[index % COMPACT.len()], &input);
    });
}

#[test]
fn every_page_size_and_layout_gives_the_reference() {
    let forms = (0..=8).flat_map(|bits| {
        [KvLayout::Nhd, KvLayout::Hnd].into_iter().flat_map(move |layout| {
            [(false, 64), (true, 128)].map(|(interleaved, head_dim)| Recipe {
                layout,
                head_dim,
                interleaved,
                ..recipe(1 << bits)
            })
        })
    });
    forms.collect::<Vec<_>>().into_par_iter().for_each(|recipe| {
        let input = CompactInput::new(&recipe, acceptance(recipe.interleaved)).expect("a valid recipe");
        COMPACT.iter().for_each(|variant| _ = gives_the_reference(variant, &input));
    });
}

/// Each pattern in lists of all rows of three sequences: what moves overlaps what others leave in every way.
#[test]
fn lists_of_every_kind_give_the_reference_up_to_64_rows() {
    let every = |step: usize, first: i32| (first..64).step_by(step).collect::<Vec<i32>>();
    let mut two_runs = every(1, 0);
    two_runs.drain(20..24);
    let mut one_gap = every(1, 0);
    one_gap.remove(33);
    let lists = [
        every(1, 0),
        every(1, 1),
        every(1, 63),
        every(2, 0),
        every(3, 2),
        every(1, 31),
        every(1, 32),
        two_runs,
        one_gap,
        vec![],
    ];
    let shape = |length| SequenceShape { length, rows: 64 };
    let recipe = Recipe { sequences: vec![shape(5), shape(40), shape(64)], kv_heads: 1, ..recipe(16) };
    let whole = Acceptance { layers: 2, accepted: Some(64), counted: true };
    lists.par_iter().enumerate().for_each(|(index, list)| {
        let mut input = CompactInput::new(&recipe, whole).expect("a valid recipe");
        for sequence in 0..3 {
            let start = sequence * input.accepted_stride as usize;
            input.accepted[start..start + list.len()].copy_from_slice(list);
        }
        input.counts = Some(vec![list.len() as i32; 3]);
        assert_eq!(input.reference().expect("a valid input").status, 0);
        gives_the_reference(&COMPACT[index % COMPACT.len()], &input);
    });
}

/// A warp looks at 32 entries at a time.
#[test]
fn a_list_ends_where_it_repeats_an_entry_wherever_that_is() {
    let sequences = vec![SequenceShape { length: 9, rows: 64 }];
    let recipe = Recipe { sequences, kv_heads: 1, ..recipe(16) };
    let acceptance = Acceptance { layers: 1, accepted: Some(48), counted: true };
    [1, 2, 30, 31, 32, 33, 34, 46, 47].par_iter().for_each(|&place| {
        let mut input = CompactInput::new(&recipe, acceptance).expect("a valid recipe");
        (0..48).for_each(|entry| input.accepted[entry] = entry as i32 + 5);
        input.accepted[place] -= 1;
        let reference = input.reference().expect("a valid input");
        assert_eq!(reference.status, Fault::Accepted.word(0), "{place}");
        COMPACT.iter().for_each(|variant| _ = gives_the_reference(variant, &input));
    });
}

#[test]
fn every_planted_fault_is_reported_and_leaves_what_it_should() {
    for sequence in [0, 2] {
        let input = || CompactInput::new(&recipe(4), acceptance(true)).expect("a valid recipe");
        let of_step = Plant::ALL.into_iter().map(|plant| {
            let mut input = input();
            assert!(input.step.plant(plant, sequence), "{plant:?}");
            input
        });
        let of_list = ListPlant::ALL.into_iter().map(|plant| {
            let mut input = input();
            assert!(input.plant(plant, sequence), "{plant:?}");
            input
        });
        for input in of_step.chain(of_list) {
            assert_ne!(input.reference().expect("a valid problem").status, 0);
            COMPACT.iter().for_each(|variant| _ = gives_the_reference(variant, &input));
        }
    }
}

/// Whatever else is wrong, and with whichever sequence, a layer that cannot be a cache is what the status word says, since it
/// is a fault of the highest kind.
#[test]
fn a_layer_without_a_sound_address_is_reported_and_left_as_it_is() {
    let plants = [(Plant::PageBeyond, 2), (Plant::LengthNegative, 0), (Plant::RowsNegative, 0)];
    for (plant, layer) in plants.into_iter().flat_map(|plant| (0..3).map(move |layer| (plant, layer))) {
        let mut input = CompactInput::new(&recipe(16), acceptance(true)).expect("a valid recipe");
        assert!(input.step.plant(plant.0, plant.1), "{plant:?}");
        let mut reference = input.reference().expect("a valid input");
        reference.layers[layer] = input.layers[layer].clone();
        reference.status = Fault::Layer.word(layer as u32);
        for bad in [|address: &mut u64| *address = 0, |address: &mut u64| *address += 8] {
            for variant in COMPACT {
                let key = PreparedCompact::with_addresses(&input, |keys, _| bad(&mut keys[layer]));
                let value = PreparedCompact::with_addresses(&input, |_, values| bad(&mut values[layer]));
                gives(variant, &input, key, &reference);
                gives(variant, &input, value, &reference);
            }
        }
    }
}

#[test]
fn rows_move_beyond_2_to_the_32_items() {
    let sequences = vec![SequenceShape { length: 3, rows: 12 }];
    for interleaved in [false, true] {
        let recipe = Recipe { sequences: sequences.clone(), spare: 0, interleaved, ..recipe(16) };
        let near = CompactInput::new(&recipe, acceptance(true)).expect("a valid recipe");
        let reference = near.reference().expect("a valid input");
        let mut input = near.clone();
        let far = put_far(&mut input.step);
        input.problem.step = input.step.step;
        for variant in COMPACT {
            let prepared = PreparedCompact::with_addresses(&input, |keys, values| {
                keys.iter_mut().chain(values).for_each(|address| *address -= far);
            });
            gives(variant, &input, prepared, &reference);
        }
    }
}

/// There is nothing to drop: no thread reads what another writes, and the race detector agrees.
#[test]
fn the_kernel_needs_no_synchronisation() {
    let input = CompactInput::new(&recipe(4), acceptance(false)).expect("a valid recipe");
    for variant in COMPACT {
        assert_eq!(gives_the_reference(variant, &input).syncs, []);
    }
}
