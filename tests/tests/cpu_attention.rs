//! Attention on the CPU back end, against the f64 reference.

use dustin::{
    Dtype,
    cpu::{CpuBackend, CpuCandidate, LseMut, OutputMut, VARIANTS},
};
use dustin_tests::{
    property::{Size, cases, for_each_case},
    verdict::{Attended, Items, POISON, judge},
};

#[test]
fn every_variant_gives_the_reference_on_random_problems() {
    let size = Size { batch: 4, kv_heads: 3, length: 600, rows: 8 };
    let count = 4 * 3 * VARIANTS.len();
    assert!(count >= 300);
    for_each_case(
        count,
        |index| {
            let dtype = [Dtype::Bf16, Dtype::F16][index / VARIANTS.len() % 2];
            cases(dtype, [64, 128][index / VARIANTS.len() / 2 % 2], size)
        },
        |index, case| {
            let (input, reference) = case.input()?;
            let variant = &VARIANTS[index % VARIANTS.len()];
            let candidate = CpuCandidate { variant, threads: 1 + index as u32 % 2, splits: case.splits };
            let mut output = Items::poison(case.output_type, input.output_items());
            let mut lse = input.problem.lse.then(|| vec![POISON; input.lse_items()]);
            let output_mut = match &mut output {
                Items::Rounded(items) => OutputMut::Rounded(items),
                Items::F32(items) => OutputMut::F32(items),
            };
            let lse_mut = lse.as_mut().map(|items| LseMut { items, base: case.lse_base });
            let mut backend = CpuBackend::new(2).map_err(|error| error.to_string())?;
            let status = backend
                .attention(&input.problem, &candidate, &input.arrays(), output_mut, lse_mut)
                .map_err(|error| error.to_string())?;
            judge(&input, &reference, &Attended { output, lse, status }, case.lse_base)
                .map(drop)
                .map_err(|error| format!("{candidate}: {error}"))
        },
    );
}
