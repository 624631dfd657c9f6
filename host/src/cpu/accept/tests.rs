use super::*;
use crate::{
    accept::{
        compare::{Accepted, compare},
        synthetic::{AcceptInput, Plant, Recipe},
    },
    cache::{
        capture::{
            arrays::{CaptureArrays, CaptureStrides},
            problem::CaptureProblem,
        },
        compact::{arrays::CompactArrays, problem::CompactProblem},
        step::{Step, StepArrays},
    },
    kv::{KvLayout, PagedKv},
};

fn accept(backend: &mut CpuBackend, input: &AcceptInput) -> Accepted {
    let (problem, arrays) = (&input.problem, input.arrays());
    let mut given = Accepted::unwritten(problem, &arrays);
    let output = AcceptOutput {
        accepted: &mut given.accepted,
        emitted: &mut given.emitted,
        path: &mut given.path,
        last_rows: &mut given.last_rows,
        new_lengths: given.new_lengths.as_deref_mut(),
    };
    given.status = backend.accept(problem, &arrays, output).unwrap();
    given.step = arrays.step.wrapping_add(1);
    given
}

fn gives_the_reference(backend: &mut CpuBackend, input: &AcceptInput, what: &str) {
    let given = accept(backend, input);
    compare(&input.problem, &input.arrays(), &given).unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn random_steps_are_accepted_as_the_reference_does() {
    let mut backend = CpuBackend::new(2).unwrap();
    for seed in 0..1500 {
        let [vocabulary, rows] = if seed % 32 == 0 { [5000, 64] } else { [200, 12] };
        let input = AcceptInput::random(seed, vocabulary, rows).unwrap();
        gives_the_reference(&mut backend, &input, &format!("{seed}"));
    }
}

#[test]
fn every_planted_fault_is_reported_and_gives_what_it_should() {
    let mut backend = CpuBackend::new(1).unwrap();
    for plant in Plant::ALL {
        for seed in 0..60 {
            let mut input = AcceptInput::sound(seed, 60, 8).unwrap();
            if input.plant(plant, 0) {
                gives_the_reference(&mut backend, &input, &format!("{plant:?}, {seed}"));
            }
        }
    }
}

#[test]
fn a_vocabulary_of_a_model_is_walked_through() {
    let mut backend = CpuBackend::new(2).unwrap();
    for seed in 0..3 {
        let input = AcceptInput::new(&Recipe::uniform(2, 5, 152_064, seed)).unwrap();
        gives_the_reference(&mut backend, &input, &format!("{seed}"));
    }
}

#[test]
fn outputs_that_are_too_short_are_refused() {
    let input = AcceptInput::random(3, 20, 4).unwrap();
    let output = AcceptOutput {
        accepted: &mut [],
        emitted: &mut [],
        path: &mut [],
        last_rows: &mut [],
        new_lengths: None,
    };
    let error = CpuBackend::new(1).unwrap().accept(&input.problem, &input.arrays(), output);
    assert_eq!(error.unwrap_err().field, "accepted");
}

#[test]
fn paths_and_last_rows_are_what_compaction_and_capturing_take() {
    let mut backend = CpuBackend::new(1).unwrap();
    for seed in 0..200 {
        let input = AcceptInput::sound(seed, 50, 9).unwrap();
        let (given, problem) = (accept(&mut backend, &input), input.problem);
        let (batch, rows) = (problem.batch, problem.rows);
        let kv = PagedKv::dense(KvLayout::Nhd, 1, 16, 1, 64);
        let step = Step { batch, rows, total_rows: problem.total_rows, kv, table_width: 1 };
        let compaction = CompactProblem { step, layers: 1, accepted: rows, counted: false };
        let lengths = vec![0; batch as usize];
        let lists = CompactArrays {
            step: StepArrays {
                block_table: &lengths,
                table_stride: 1,
                lengths: &lengths,
                row_starts: &input.row_starts,
            },
            accepted: &given.path,
            accepted_stride: input.strides.path,
            counts: None,
        };
        assert_eq!(lists.validate(&compaction), Ok(()));
        let capture = CaptureProblem {
            batch,
            total_rows: problem.total_rows,
            query_heads: 1,
            head_dim: 64,
            heads: vec![0],
            slots: batch,
            tokens: 1,
        };
        let captures = CaptureArrays {
            query: &[],
            row_starts: &input.row_starts,
            rows: Some(&given.last_rows),
            slots: None,
            token: 0,
            strides: CaptureStrides::dense(&capture),
        };
        for sequence in 0..batch {
            let at = sequence as usize;
            let (first, own) = (input.row_starts[at], input.row_starts[at + 1] - input.row_starts[at]);
            let (path, fault) = lists.rows(&compaction, sequence, own as u32);
            assert_eq!((path.len() as i32, fault), (given.accepted[at] + i32::from(own > 0), None));
            let last = path.last().map(|&row| (first as u32 + row, sequence));
            assert_eq!(captures.captured(&capture, sequence), Ok(last));
        }
    }
}
