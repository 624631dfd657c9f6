//! Whether the CPU back end and the kernels on the executor emit tokens as the target says, whatever the drafts; and whether the
//! test that says so notices samplers that do not.

use dustin::{
    accept::{arrays::AcceptOutput, compare::Accepted, synthetic::AcceptInput},
    cpu::CpuBackend,
};
use dustin_kernels::registry::ACCEPT_WALK;
use dustin_tests::{
    accept_statistics::{Counts, Drafting, Flaw, Models, batch, flawed},
    executor_accept::accept,
};
use rayon::prelude::*;

/// Sequences of a batch, and batches.
const BATCH: usize = 50_000;
const BATCHES: u64 = 4;

fn emitted(backend: &mut CpuBackend, input: &AcceptInput) -> Vec<i32> {
    let arrays = input.arrays();
    let mut given = Accepted::unwritten(&input.problem, &arrays);
    let output = AcceptOutput {
        accepted: &mut given.accepted,
        emitted: &mut given.emitted,
        path: &mut given.path,
        last_rows: &mut given.last_rows,
        new_lengths: None,
    };
    let status = backend.accept(&input.problem, &arrays, output).expect("a valid input");
    assert_eq!(status, 0);
    given.emitted
}

#[test]
fn the_cpu_back_end_emits_tokens_as_the_target_says() {
    let mut backend = CpuBackend::new(0).expect("threads");
    for (drafting, seed) in Drafting::ALL.into_iter().zip(1..) {
        let (models, mut counts) = (Models::new(seed), Counts::default());
        for index in 0..BATCHES {
            let input = batch(&models, drafting, BATCH, 100 * seed + index);
            let emitted = emitted(&mut backend, &input);
            counts.add_all(&input, &emitted);
        }
        let excess = counts.excess(&models);
        assert!(excess.first < 1.0 && excess.second < 1.0, "{drafting:?}: {excess:?}");
    }
}

#[test]
fn samplers_without_a_residual_or_with_a_wrong_ratio_are_found_out_by_far() {
    let models = Models::new(1);
    for flaw in [Flaw::None, Flaw::NoResidual, Flaw::WrongRatio, Flaw::InvertedRatio] {
        let mut counts = Counts::default();
        for index in 0..BATCHES {
            let input = batch(&models, Drafting::Chain(1), BATCH, 100 + index);
            flawed(&models, &input, flaw, index).iter().for_each(|emitted| counts.add(emitted));
        }
        let excess = counts.excess(&models);
        match flaw {
            Flaw::None => assert!(excess.first < 1.0 && excess.second < 1.0, "{excess:?}"),
            _ => assert!(excess.first > 10.0, "{flaw:?}: {excess:?}"),
        }
    }
}

/// As many sequences as the executor runs in seconds; what they emit is what the CPU back end does.
#[test]
fn the_kernels_emit_tokens_as_the_target_says() {
    const SEQUENCES: usize = 200;
    Drafting::ALL.into_par_iter().enumerate().for_each(|(index, drafting)| {
        let models = Models::new(index as u64 + 1);
        let input = batch(&models, drafting, SEQUENCES, index as u64);
        let given = accept(&input, &ACCEPT_WALK[0]).unwrap_or_else(|error| panic!("{drafting:?}: {error}"));
        let mut backend = CpuBackend::new(1).expect("a thread");
        let of_cpu = emitted(&mut backend, &input);
        let rows = input.problem.rows as usize;
        let differing = given.emitted.chunks(rows).zip(of_cpu.chunks(rows)).filter(|(a, b)| a != b).count();
        // But for rounding, of which fewer than one in a thousand decisions is in doubt.
        assert!(differing <= 1, "{drafting:?}: {differing}");
    });
}
