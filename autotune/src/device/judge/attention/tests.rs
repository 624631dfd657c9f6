//! Right results pass, and whatever is wrong with them does not.

use std::collections::BTreeSet;

use dustin::{
    attention::{problem::Mask, synthetic::NAN},
    element::encode,
};
use dustin_autotune::workload::{Problem, Shape, Workload, named};
use dustin_kernels::attention::params::EVERYTHING;

use super::{super::SAMPLES, *};

fn small() -> AttentionProblem {
    let Shape::Attention(mut shape) = named("cpu-0.5b").unwrap().shape else { panic!("of attention") };
    (shape.cache.batch, shape.cache.context, shape.k, shape.lse) = (7, 300, Some(64), true);
    match Workload::new("small".into(), shape).unwrap().problem {
        Problem::Attention(problem) => problem,
        other => panic!("{other:?}"),
    }
}

/// Every way to read, and both masks.
fn ways() -> Vec<AttentionProblem> {
    let small = small();
    let sets = Sets::of_positions(64);
    let confirmed = [
        Confirmed::Sets(sets),
        Confirmed::Sets(Sets { per_kv_head: true, ..sets }),
        Confirmed::Window { sinks: 4, recent: 60 },
        Confirmed::Everything,
    ];
    let masks = [Mask::Causal, Mask::Tree];
    let pairs = confirmed.iter().flat_map(|&confirmed| masks.map(|mask| (confirmed, mask)));
    pairs.map(|(confirmed, mask)| AttentionProblem { confirmed, mask, ..small }).collect()
}

/// What a back end would write: the reference of all of it.
fn right(case: &AttentionCase) -> AttentionWritten {
    let (problem, strides) = (case.input.problem, case.input.strides);
    let whole = reference::attention(&problem, &case.input.arrays()).unwrap();
    let mut written = case.unwritten();
    let (heads, dim) = (problem.query_heads as usize, problem.kv.head_dim as usize);
    for (index, &value) in whole.output.iter().enumerate() {
        let (row, head, item) = (index / dim / heads, index / dim % heads, index % dim);
        let at = row * strides.output_row as usize + head * strides.output_head as usize;
        if whole.owned[row] {
            written.output.items_mut()[at + item] = encode(problem.dtype, value as f32);
            written.lse.as_mut().unwrap().items_mut()[row * heads + head] =
                whole.lse[row * heads + head] as f32;
        }
    }
    written
}

/// The message with which `case` refuses what is right but for `change`.
fn refused(case: &AttentionCase, change: impl FnOnce(&mut [u16], &mut [f32])) -> String {
    let mut written = right(case);
    let lse = written.lse.as_mut().unwrap();
    change(written.output.items_mut(), lse.items_mut());
    case.judge(&written).unwrap_err()
}

#[test]
fn the_reference_of_the_whole_batch_passes_for_its_parts_and_what_is_wrong_in_one_does_not() {
    for problem in ways() {
        let case = AttentionCase::timed(&problem, 300, 5).unwrap();
        assert_eq!(case.parts.len(), SAMPLES * 2);
        assert_eq!(case.judge(&right(&case)), Ok(()), "{problem:?}");
        for part in &case.parts {
            let item = (part.first_row + 1) * 14 * 64 + part.first_head * 64;
            assert!(refused(&case, |output, _| output[item] = NAN).contains("row 1"), "{problem:?}");
            let sum = part.first_row * 14 + part.first_head;
            assert!(refused(&case, |_, lse| lse[sum] += 1.0).contains("log-sum-exp"));
        }
    }
}

#[test]
fn an_output_that_was_not_written_is_refused_in_every_awkward_case() {
    for problem in ways() {
        let case = AttentionCase::awkward(&AttentionKey::from(&problem), 5).unwrap();
        assert_eq!((case.input.problem.mask, case.parts[0].reference.status), (problem.mask, 0));
        assert_eq!(case.judge(&right(&case)), Ok(()), "{problem:?}");
        assert!(refused(&case, |output, _| output[0] = NAN).contains("row 0"), "{problem:?}");
    }
}

#[test]
fn of_sequences_that_are_not_sampled_every_item_must_be_a_number() {
    let case = AttentionCase::timed(&small(), 300, 5).unwrap();
    // The second of seven sequences has no reference: its first row is behind those of the first.
    let row = case.input.row_starts[1] as usize;
    assert!(case.parts.iter().all(|part| part.first_row != row));
    let (item, sum) = (row * 14 * 64 + 13 * 64 + 63, row * 14 + 13);
    let told = refused(&case, |output, _| output[item] = u16::POISON);
    assert!(told.contains(&format!("item {item} of the output was not written")), "{told}");
    for strange in [NAN, encode(case.input.problem.dtype, f32::INFINITY)] {
        let told = refused(&case, |output, _| output[item] = strange);
        assert!(told.contains(&format!("item {item} of the output must be a number")), "{told}");
    }
    let told = refused(&case, |_, lse| lse[sum] = f32::POISON);
    assert!(told.contains(&format!("item {sum} of the log-sum-exp must be a number")), "{told}");
}

#[test]
fn what_is_no_row_s_and_what_is_beside_the_arrays_must_be_left_alone() {
    let case = AttentionCase::awkward(&AttentionKey::from(&small()), 5).unwrap();
    let (dim, head) = (case.input.problem.kv.head_dim as usize, case.input.strides.output_head as usize);
    let (row, rows) = (case.input.strides.output_row as usize, case.rows().end);
    assert!(head > dim && rows < case.input.problem.total_rows as usize, "there is nothing to spare");
    for gap in [dim, row - 1, rows * row] {
        let told = refused(&case, |output, _| output[gap] = 0);
        assert!(told.contains(&format!("item {gap} of the output is no row's")), "{told}");
    }
    let told = refused(&case, |_, lse| *lse.last_mut().unwrap() = 0.0);
    assert!(told.contains("log-sum-exp is no row's"), "{told}");
}

#[test]
fn an_awkward_case_reads_what_the_key_says_and_has_the_flag_everything_where_there_are_sets() {
    for problem in ways() {
        let case = AttentionCase::awkward(&AttentionKey::from(&problem), 5).unwrap();
        let input = &case.input;
        assert_eq!(AttentionKey::from(&input.problem).index_set, AttentionKey::from(&problem).index_set);
        let flags = input.set_sizes.iter().filter(|&&size| size == EVERYTHING).count();
        assert_eq!(flags, input.problem.sets_per_sequence() as usize, "{problem:?}");
    }
}

#[test]
fn a_large_problem_is_sampled_with_bounded_work_from_the_first_head_to_the_last() {
    let of = |name: &str, work| match named(name).unwrap() {
        workload @ Workload { problem: Problem::Attention(problem), .. } => {
            sampled(&problem, workload.context(), work)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(of("w1", WORK).len(), SAMPLES * 8);
    let full = of("w1-full", WORK);
    assert_eq!((full[0], full[full.len() - 1]), ((0, 0), (15, 7)));
    assert!(full.len() as u64 * 32_773 * 40 * 256 <= WORK, "{} heads", full.len());
    let sequences: BTreeSet<usize> = full.iter().map(|(sequence, _)| *sequence).collect();
    let heads: BTreeSet<u32> = of("w1-full", WORK / 4).iter().map(|(_, head)| *head).collect();
    assert!(sequences.len() == SAMPLES && heads.len() > 4, "{sequences:?}, {heads:?}");
    assert_eq!(of("w1-full", 1), [(0, 0), (15, 7)]);
    assert_eq!(of("w1-full-b1", 1), [(0, 0), (0, 7)]);
}
