//! The attention kernel on the SIMT executor, against the f64 reference.

use dustin::space::Candidate;
use dustin_kernels::{executor::Options, registry::ATTENTION};
use dustin_tests::{
    executor_backend::Prepared,
    property::{Size, cases, for_each_case},
    verdict::judge,
};

#[test]
fn every_variant_gives_the_reference_on_random_problems() {
    let size = Size { batch: 2, kv_heads: 2, length: 130, rows: 8 };
    let count = 2 * ATTENTION.len();
    assert!(count >= 200);
    let variant = |index: usize| &ATTENTION[index % ATTENTION.len()];
    for_each_case(
        count,
        |index| cases(variant(index).dtype, variant(index).head_dim, size),
        |index, case| {
            let (input, reference) = case.input()?;
            let candidate = Candidate { variant: variant(index), splits: case.splits };
            let mut prepared = Prepared::new(&input, candidate, case.output_type, case.lse_base)?;
            prepared.launch(&Options::default())?;
            judge(&input, &reference, &prepared.attended(), case.lse_base)
                .map(drop)
                .map_err(|error| format!("{candidate}: {error}"))
        },
    );
}

#[test]
fn a_second_launch_over_the_same_workspace_gives_the_same_bits() {
    let size = Size { batch: 3, kv_heads: 2, length: 90, rows: 4 };
    let variant = |index: usize| &ATTENTION[7 * index % ATTENTION.len()];
    for_each_case(
        12,
        |index| cases(variant(index).dtype, variant(index).head_dim, size),
        |index, case| {
            let (input, _) = case.input()?;
            let candidate = Candidate { variant: variant(index), splits: 2 };
            let mut prepared = Prepared::new(&input, candidate, case.output_type, case.lse_base)?;
            prepared.launch(&Options::default())?;
            let first = prepared.attended();
            prepared.launch(&Options::default())?;
            let second = prepared.attended();
            if first.output.bits() != second.output.bits() || first.status != second.status {
                return Err(format!("{candidate}: the second launch differs"));
            }
            Ok(())
        },
    );
}
