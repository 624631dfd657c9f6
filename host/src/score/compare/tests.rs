use dustin_kernels::registry::Dtype;

use super::*;
use crate::{
    kv::KvLayout,
    score::{
        problem::Source,
        reference,
        synthetic::{Contents, Logits, Recipe, ScoreInput, SequenceShape},
    },
};

struct Case {
    input: ScoreInput,
    reference: Reference,
    map: Vec<f32>,
}

impl Case {
    /// Three sequences, the second without queries, and the reference's map as fp32.
    fn new(accumulate: bool) -> Self {
        let shape = |length, captured| SequenceShape { length, room: 1, captured };
        let recipe = Recipe {
            dtype: Dtype::F16,
            head_dim: 64,
            kv_heads: 2,
            group: 2,
            page_size: 4,
            layout: KvLayout::Nhd,
            sequences: vec![shape(40, true), shape(9, false), shape(0, true)],
            sources: Source::mean(&[&[0, 3], &[1]], 2),
            tokens: 2,
            accumulate,
            spare: 2,
            padding: 0,
            contents: Contents { logits: Logits::Flat, slots: true, seed: 3 },
        };
        let input = recipe.input().unwrap();
        let reference = reference::score(&input.problem, &input.arrays(), &input.map).unwrap();
        let of = |(at, &kind): (usize, &Position)| match kind {
            Position::Untouched => input.map[at],
            _ => reference.map[at] as f32,
        };
        let map = reference.positions.iter().enumerate().map(of).collect();
        Self { input, reference, map }
    }

    fn judge(&self) -> Result<Figures, Mismatch> {
        compare_map(&self.input.problem, &self.reference, &self.input.map, &self.map)
    }
}

#[test]
fn the_reference_itself_passes() {
    for accumulate in [false, true] {
        let figures = Case::new(accumulate).judge().unwrap();
        assert!(figures.relative_norm < 1e-7 && figures.sum_error < 1e-6, "{figures:?}");
    }
}

#[test]
fn a_position_of_no_sequence_must_keep_its_bits() {
    let mut case = Case::new(false);
    let behind = case.reference.parts[0].end;
    case.map[behind] = f32::from_bits(case.map[behind].to_bits() ^ 1);
    assert!(matches!(case.judge(), Err(Mismatch::Touched { position, .. }) if position == behind));
}

#[test]
fn a_masked_position_must_be_exactly_as_the_reference() {
    for accumulate in [false, true] {
        let mut case = Case::new(accumulate);
        let at = case.reference.parts[1].start;
        case.map[at] += 1e-9;
        assert!(matches!(case.judge(), Err(Mismatch::Masked { position, .. }) if position == at));
        case.map[at] = f32::NAN;
        assert!(matches!(case.judge(), Err(Mismatch::Masked { .. })));
    }
}

#[test]
fn a_nan_is_found_before_a_wrong_score_that_precedes_it() {
    let mut case = Case::new(false);
    let part = case.reference.parts[0].clone();
    case.map[part.start] = 3.0;
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        case.map[part.start + 5] = wrong;
        assert!(
            matches!(case.judge(), Err(Mismatch::NotFinite { position, .. }) if position == part.start + 5)
        );
    }
    case.reference.map[part.start + 5] = f64::NEG_INFINITY;
    assert!(!matches!(case.judge(), Err(Mismatch::NotFinite { .. })));
}

#[test]
fn scores_that_do_not_sum_up_to_the_weights_are_refused() {
    let mut case = Case::new(false);
    for at in case.reference.parts[0].clone() {
        case.map[at] *= 1.0002;
    }
    let error = case.judge().unwrap_err();
    assert!(matches!(error, Mismatch::Sum { sequence: 0, .. }), "{error}");
}

#[test]
fn errors_that_cancel_out_fail_by_their_norm() {
    let mut case = Case::new(false);
    let part = case.reference.parts[0].clone();
    let shift = 2e-3 * case.map[part.start];
    for (index, at) in part.enumerate() {
        case.map[at] += if index % 2 == 0 { shift } else { -shift };
    }
    let error = case.judge().unwrap_err();
    assert!(matches!(error, Mismatch::Norm { sequence: 0, .. }), "{error}");
}

/// The norm of the batch is that of the short sequence's scores.
#[test]
fn errors_of_a_long_sequence_are_not_hidden_by_a_short_one() {
    let mut case = Case::new(false);
    let long = case.reference.parts[0].clone();
    let short = case.reference.parts[2].start;
    (case.reference.parts[2], case.reference.sums[2]) = (short..short + 1, 0.0);
    (case.reference.positions[short], case.reference.map[short]) = (Position::Scored, 0.0);
    (case.reference.magnitudes[short], case.map[short]) = (1e6, 0.0);
    case.judge().unwrap();
    let shift = 2e-3 * case.map[long.start];
    (case.map[long.start], case.map[long.start + 1]) =
        (case.map[long.start] + 9.0 * shift, case.map[long.start + 1] - 9.0 * shift);
    let error = case.judge().unwrap_err();
    assert!(matches!(error, Mismatch::Norm { sequence: 0, .. }), "{error}");
}

#[test]
fn scores_that_cancel_out_are_judged_by_the_magnitudes_of_their_weights() {
    let mut case = Case::new(false);
    let part = case.reference.parts[0].clone();
    for at in part.clone() {
        (case.reference.map[at], case.map[at]) = (0.0, 0.0);
    }
    case.reference.sums[0] = 0.0;
    let least = case.reference.magnitudes[part.start] as f32;
    (case.map[part.start], case.map[part.start + 1]) = (1e-4 * least, -1e-4 * least);
    assert!(case.judge().unwrap().relative_norm > 0.0);
    (case.map[part.start], case.map[part.start + 1]) = (1e-2 * least, -1e-2 * least);
    assert!(matches!(case.judge(), Err(Mismatch::Norm { sequence: 0, .. })));
}

#[test]
fn what_the_map_held_before_neither_hides_errors_nor_counts_as_one_when_it_is_rounded() {
    let mut case = Case::new(true);
    let part = case.reference.parts[0].clone();
    for at in part.clone() {
        let score = case.reference.map[at] - f64::from(case.input.map[at]);
        case.input.map[at] = 1e4;
        case.reference.map[at] = 1e4 + score;
        case.map[at] = case.reference.map[at] as f32;
    }
    case.judge().unwrap();
    for at in part {
        case.map[at] += if at % 2 == 0 { 1e-1 } else { -1e-1 };
    }
    assert!(case.judge().is_err());
}

#[test]
fn a_short_map_is_refused() {
    let mut case = Case::new(false);
    let required = case.map.len();
    case.map.pop();
    assert_eq!(case.judge(), Err(Mismatch::Items { required, actual: required - 1 }));
}

#[test]
fn recall_is_the_share_of_the_best_that_were_found() {
    let expected = [0.5, 0.1, 0.4, 0.3, 0.2];
    assert_eq!(recall(&expected, &[0.5, 0.1, 0.4, 0.3, 0.2], 3), 1.0);
    assert_eq!(recall(&expected, &[0.5, 0.1, 0.4, 0.2, 0.3], 3), 2.0 / 3.0);
    assert_eq!(recall(&expected, &[0.1, 0.5, 0.0, 0.0, 0.4], 2), 0.0);
    // Ties go to the lower position, in both maps.
    assert_eq!(recall(&[1.0; 4], &[2.0; 4], 2), 1.0);
    assert_eq!(recall(&[], &[], 5), 1.0);
    assert_eq!(recall(&expected, &[0.0; 5], 9), 1.0);
}
