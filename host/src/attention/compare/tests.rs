use super::*;
use crate::{
    attention::{
        problem::{Confirmed, Mask, Sets},
        reference,
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    kv::KvLayout,
};

fn input(dtype: Dtype) -> AttentionInput {
    let recipe = Recipe {
        dtype,
        head_dim: 64,
        kv_heads: 2,
        group: 2,
        page_size: 4,
        layout: KvLayout::Nhd,
        sequences: vec![SequenceShape { length: 30, rows: 2, set_size: 9 }],
        confirmed: Confirmed::Sets(Sets::of_positions(0)),
        mask: Mask::Causal,
        spare: 1,
        padding: 1,
        head_major: false,
        lse: true,
        contents: Contents { logits: Logits::Flat, sorted: true, poison_unselected: true, seed: 3 },
    };
    recipe.input().unwrap()
}

struct Case {
    input: AttentionInput,
    reference: Reference,
    output: Vec<f32>,
    lse: Vec<f32>,
}

impl Case {
    fn new(dtype: Dtype) -> Self {
        let input = input(dtype);
        let reference = reference::attention(&input.problem, &input.arrays()).unwrap();
        let mut output = vec![f32::NAN; input.output_items()];
        for row in 0..2 {
            for head in 0..4 {
                let at = row * input.strides.output_row as usize + head * input.strides.output_head as usize;
                for item in 0..64 {
                    output[at + item] = reference.output[(row * 4 + head) * 64 + item] as f32;
                }
            }
        }
        let lse = reference.lse.iter().map(|&x| x as f32).collect();
        Self { input, reference, output, lse }
    }

    fn judge(&self) -> Result<Figures, Mismatch> {
        let arrays = self.input.arrays();
        compare_output(&self.input.problem, &arrays, &self.reference, Output::F32(&self.output))
    }
}

#[test]
fn the_reference_itself_passes_in_both_output_types() {
    for dtype in [Dtype::Bf16, Dtype::F16] {
        let case = Case::new(dtype);
        assert!(case.judge().unwrap().relative_norm < 1e-7);
        let rounded: Vec<u16> = case.output.iter().map(|&x| crate::element::encode(dtype, x)).collect();
        let figures = compare_output(
            &case.input.problem,
            &case.input.arrays(),
            &case.reference,
            Output::Rounded(&rounded),
        );
        assert!(figures.unwrap().relative_norm > 1e-7);
        compare_lse(&case.input.problem, &case.reference, &case.lse, LogBase::E).unwrap();
    }
}

#[test]
fn a_nan_is_found_before_a_wrong_element_that_precedes_it() {
    let mut case = Case::new(Dtype::Bf16);
    case.output[0] += 10.0;
    case.output[5] = f32::NAN;
    assert!(matches!(case.judge(), Err(Mismatch::NotFinite { row: 0, head: 0, item: 5, .. })));
    case.output[5] = f32::INFINITY;
    assert!(matches!(case.judge(), Err(Mismatch::NotFinite { .. })));
}

#[test]
fn a_number_where_the_reference_is_nan_or_infinite_is_refused() {
    for expected in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut case = Case::new(Dtype::Bf16);
        case.reference.output[7] = expected;
        assert!(matches!(case.judge(), Err(Mismatch::NotFinite { item: 7, .. })));
        case.output[7] = expected as f32;
        case.judge().unwrap();
    }
}

#[test]
fn the_first_wrong_element_is_named_with_its_limit() {
    let mut case = Case::new(Dtype::F16);
    let at = case.input.strides.output_row as usize + case.input.strides.output_head as usize + 9;
    case.output[at] += 0.1;
    let error = case.judge().unwrap_err();
    assert!(matches!(error, Mismatch::Element { row: 1, head: 1, item: 9, .. }), "{error}");
}

#[test]
fn many_small_errors_fail_by_their_norm() {
    let mut case = Case::new(Dtype::Bf16);
    for x in &mut case.output {
        *x *= 1.005;
    }
    assert!(matches!(case.judge(), Err(Mismatch::Norm { .. })));
}

#[test]
fn rows_of_no_sequence_are_not_judged() {
    let case = Case::new(Dtype::Bf16);
    assert_eq!(case.reference.owned, [true, true, false]);
    assert!(case.output.iter().any(|x| x.is_nan()));
    case.judge().unwrap();
}

#[test]
fn lse_is_compared_in_the_base_asked_for() {
    let case = Case::new(Dtype::Bf16);
    let judge = |base| compare_lse(&case.input.problem, &case.reference, &case.lse, base);
    judge(LogBase::E).unwrap();
    assert!(matches!(judge(LogBase::Two), Err(Mismatch::Element { what: "log-sum-exp", .. })));
    let short = compare_lse(&case.input.problem, &case.reference, &case.lse[1..], LogBase::E);
    assert!(matches!(short, Err(Mismatch::Items { required: 12, actual: 11, .. })));
}
