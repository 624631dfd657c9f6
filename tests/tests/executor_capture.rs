//! The kernel of capturing on the SIMT executor, against the reference, bit for bit.

use dustin::cache::synthetic::{CaptureInput, CapturePlant};
use dustin_kernels::{
    executor::{Options, Trace},
    registry::{CAPTURE, CaptureVariant},
};
use dustin_tests::executor_cache::PreparedCapture;
use rayon::prelude::*;

/// Random inputs.
const INPUTS: usize = 400;

fn gives_the_reference(variant: &'static CaptureVariant, input: &CaptureInput) -> Trace {
    let mut prepared = PreparedCapture::new(input);
    let trace = prepared.launch(variant, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
    let (captured, status) = prepared.captured();
    let reference = input.reference().expect("a valid input");
    assert_eq!(status, reference.1, "{}: {:#?}", variant.id, input.problem);
    assert!(captured == reference.0, "{}: other slots: {:#?}", variant.id, input.problem);
    trace
}

/// Both head sizes, gaps, slots outside of tokens, one head to 64 in any order, with rows and slots given or not, and, in one of
/// four, a planted fault.
#[test]
fn random_queries_are_captured_as_the_reference_does() {
    (0..INPUTS).into_par_iter().for_each(|index| {
        let input = CaptureInput::random(index as u64, 9).expect("a valid input");
        gives_the_reference(&CAPTURE[index % CAPTURE.len()], &input);
    });
}

#[test]
fn every_planted_fault_is_reported_and_leaves_what_it_should() {
    for plant in CapturePlant::ALL {
        let mut planted = 0;
        for seed in 0..20 {
            let mut input = CaptureInput::sound(seed, 5).expect("a valid input");
            if input.plant(plant, 0) {
                planted += 1;
                CAPTURE.iter().for_each(|variant| _ = gives_the_reference(variant, &input));
            }
        }
        assert!(planted > 0, "{plant:?}");
    }
}

#[test]
fn the_tokens_of_a_slot_are_written_one_launch_each() {
    for seed in 0..20 {
        let mut input = CaptureInput::sound(seed, 9).expect("a valid input");
        for token in 0..input.problem.tokens {
            input.token = token;
            CAPTURE.iter().for_each(|variant| _ = gives_the_reference(variant, &input));
        }
    }
}

/// There is nothing to drop: no thread reads what another writes, and the race detector agrees.
#[test]
fn the_kernel_needs_no_synchronisation() {
    let input = CaptureInput::sound(5, 9).expect("a valid input");
    for variant in CAPTURE {
        assert_eq!(gives_the_reference(variant, &input).syncs, []);
    }
}
