//! The attention kernel on the SIMT executor, against the f64 reference.

use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        problem::{Confirmed, Mask, Sets},
        reference,
        space::Candidate,
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    kv::KvLayout,
};
use dustin_kernels::{
    executor::Options,
    registry::{ATTENTION, AttentionVariant},
};
use dustin_tests::{
    executor_backend::Prepared,
    property::{Case, Size, cases, for_each_variant, long_cases},
    verdict::judge,
};

fn gives_the_reference(variant: &'static AttentionVariant, case: &Case) -> Result<(), String> {
    let (input, reference) = case.input()?;
    let candidate = Candidate { variant, splits: case.divided_by(variant) };
    let mut prepared = Prepared::new(&input, candidate, case.output_type, case.lse_base)?;
    prepared.launch(&Options::default())?;
    judge(&input, &reference, &prepared.attended(), case.lse_base).map(drop)
}

#[test]
fn every_variant_gives_the_reference_on_random_problems() {
    let size = Size { batch: 2, kv_heads: 2, length: 130, rows: 8 };
    let count = 3 * ATTENTION.len();
    assert!(count >= 200);
    for_each_variant(count, |_, variant| cases(variant.dtype, variant.head_dim, size), gives_the_reference);
}

/// The ring of slots wraps, and so does that of the tokens that are looked up later than the first ones.
#[test]
fn every_variant_gives_the_reference_on_sets_of_several_tiles() {
    let size = Size { batch: 2, kv_heads: 1, length: 20, rows: 3 };
    for_each_variant(
        ATTENTION.len(),
        |_, variant| {
            let set_size = (variant.tile.first_steps() + 4) * variant.tile.tokens() + 20;
            long_cases(variant.dtype, variant.head_dim, size, set_size)
        },
        gives_the_reference,
    );
}

/// A team has several steps of own rows, before and behind its last step of the set.
#[test]
fn every_variant_gives_the_reference_on_many_rows() {
    let size = Size { batch: 2, kv_heads: 1, length: 60, rows: 64 };
    let cases = |_, variant: &AttentionVariant| cases(variant.dtype, variant.head_dim, size);
    for_each_variant(ATTENTION.len(), cases, gives_the_reference);
}

#[test]
fn a_second_launch_over_the_same_workspace_gives_the_same_bits() {
    let size = Size { batch: 3, kv_heads: 2, length: 90, rows: 4 };
    for_each_variant(
        ATTENTION.len(),
        |_, variant| cases(variant.dtype, variant.head_dim, size),
        |variant, case| {
            let (input, _) = case.input()?;
            let candidate = Candidate { variant, splits: 2.into() };
            let mut prepared = Prepared::new(&input, candidate, case.output_type, case.lse_base)?;
            prepared.launch(&Options::default())?;
            let first = prepared.attended();
            prepared.poison();
            prepared.launch(&Options::default())?;
            let second = prepared.attended();
            let lse = |lse: Option<Vec<f32>>| lse.map(|items| items.into_iter().map(f32::to_bits).collect());
            let same: bool = first.output.bits() == second.output.bits()
                && lse(first.lse) == lse(second.lse) as Option<Vec<u32>>
                && first.status == second.status;
            if same { Ok(()) } else { Err(format!("{candidate}: the second launch differs")) }
        },
    );
}

/// Each variant whose launches overlap, with a batch of `shapes`, whose queries and own rows a launch before writes.
fn behind_a_writer(shapes: &[SequenceShape], check: impl Fn(&AttentionInput, &mut Prepared)) {
    for variant in ATTENTION.iter().filter(|variant| variant.tile.overlaps) {
        let recipe = Recipe {
            dtype: variant.dtype,
            head_dim: variant.head_dim,
            kv_heads: 1,
            group: 2,
            page_size: 16,
            layout: KvLayout::Nhd,
            head_major: false,
            sequences: shapes.to_vec(),
            confirmed: Confirmed::Sets(Sets::of_positions(0)),
            mask: Mask::Causal,
            spare: 1,
            padding: 0,
            lse: false,
            contents: Contents { logits: Logits::Flat, sorted: true, poison_unselected: true, seed: 5 },
        };
        let input = recipe.input().expect("a valid recipe");
        let candidate = Candidate { variant, splits: 2.into() };
        let mut prepared =
            Prepared::new(&input, candidate, OutputType::F32, LogBase::E).expect("a possible launch");
        prepared.write_inputs(&input).expect("copies alone");
        prepared.launch(&Options::default()).unwrap_or_else(|error| panic!("{candidate}: {error}"));
        check(&input, &mut prepared);
    }
}

#[test]
fn queries_and_own_rows_are_what_the_launch_before_has_written() {
    let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
    behind_a_writer(&[shape(40, 3, 20), shape(9, 1, 4), shape(0, 2, 0)], |input, prepared| {
        let reference = reference::attention(&input.problem, &input.arrays()).expect("a valid input");
        judge(input, &reference, &prepared.attended(), LogBase::E).expect("the reference");
    });
}

/// What a launch overlaps has ended when that launch has, whether it had anything to do or not.
#[test]
fn a_launch_without_rows_waits_all_the_same() {
    behind_a_writer(&[SequenceShape { length: 20, rows: 0, set_size: 5 }; 2], |_, prepared| {
        prepared.read_queries().expect("nothing to report");
    });
}
