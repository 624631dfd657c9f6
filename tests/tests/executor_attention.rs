//! The attention kernel on the SIMT executor, against the f64 reference.

use dustin::attention::space::Candidate;
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
    let candidate = Candidate { variant, splits: case.splits };
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
            let candidate = Candidate { variant, splits: 2 };
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
