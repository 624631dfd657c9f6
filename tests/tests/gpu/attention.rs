//! Attention against the f64 reference.

use std::num::NonZero;

use dustin::attention::{
    arrays::{LogBase, OutputType},
    reference,
    space::Candidate,
};
use dustin_kernels::registry::{ATTENTION, AttentionVariant};
use dustin_tests::{
    cuda_backend::{Asked, Prepared},
    gpu::{Gpu, text, trial},
    property::{Size, cases, for_each_variant},
    verdict::judge,
};
use libtest_mimic::Trial;

use super::{parse_problems, problems, ragged_input, stream};

/// Random problems, unless `DUSTIN_GPU_PROBLEMS` says otherwise: at least 2,000.
const PROBLEMS: NonZero<usize> = NonZero::new(2080).unwrap();

pub(super) fn trials() -> Vec<Trial> {
    let variants = ATTENTION.iter().enumerate().map(|(seed, variant)| {
        trial(format!("{}_gives_the_reference", variant.id), move |gpu| {
            variant_gives_the_reference(gpu, variant, seed as u64)
        })
    });
    let random = trial("random_problems_over_all_variants_give_the_reference", random_problems);
    let count = Trial::test("a_run_of_no_random_problems_is_refused", || {
        let problems = |value: Option<&str>| parse_problems(value.map(Into::into), PROBLEMS);
        let refused = ["0", "-1", "many", ""].iter().all(|text| problems(Some(text)).is_err());
        let right = refused && problems(Some("7")) == Ok(7) && problems(None) == Ok(PROBLEMS.get());
        if right { Ok(()) } else { Err("a number of problems was misunderstood".into()) }
    });
    variants.chain([random, count]).collect()
}

fn variant_gives_the_reference(
    gpu: &Gpu,
    variant: &'static AttentionVariant,
    seed: u64,
) -> Result<(), String> {
    let stream = stream(gpu)?;
    let input = ragged_input(variant, seed)?;
    let reference = reference::attention(&input.problem, &input.arrays()).map_err(text)?;
    for (output_type, lse_base, splits) in [
        (OutputType::F32, LogBase::E, 1),
        (OutputType::Rounded, LogBase::Two, 1),
        (OutputType::F32, LogBase::Two, 3),
        (OutputType::Rounded, LogBase::E, 8),
    ] {
        let splits = splits.into();
        let asked = Asked { candidate: Candidate { variant, splits }, output_type, lse_base };
        let attended = Prepared::new(&gpu.modules, &stream, &input, asked)?.attend(&stream)?;
        judge(&input, &reference, &attended, lse_base)
            .map_err(|error| format!("{asked:?}, seed {seed}: {error}"))?;
    }
    Ok(())
}

fn random_problems(gpu: &'static Gpu) -> Result<(), String> {
    let count = problems(PROBLEMS)?;
    let long = Size { batch: 6, kv_heads: 3, length: 800, rows: 8 };
    let tall = Size { batch: 4, kv_heads: 2, length: 200, rows: 64 };
    for_each_variant(
        count,
        |index, variant| {
            let size = if index / ATTENTION.len() % 4 == 3 { tall } else { long };
            cases(variant.dtype, variant.head_dim, size)
        },
        |variant, case| {
            let (input, reference) = case.input()?;
            let candidate = Candidate { variant, splits: case.divided_by(variant) };
            let asked = Asked { candidate, output_type: case.output_type, lse_base: case.lse_base };
            let stream = stream(gpu)?;
            let attended = Prepared::new(&gpu.modules, &stream, &input, asked)?.attend(&stream)?;
            judge(&input, &reference, &attended, case.lse_base).map(drop)
        },
    );
    println!("random problems compared with the reference: {count}");
    Ok(())
}
