//! One small problem per variant: cheap enough for compute-sanitizer. Filter by the name `sanitize`.

use dustin::score::{space::Candidate, synthetic::SequenceShape};
use dustin_tests::{
    cuda_score::Prepared,
    gpu::{Gpu, text, trial},
    score::{judge, reference_of},
};
use libtest_mimic::Trial;

use super::{super::stream, candidates, ragged};

pub(super) fn trials() -> Vec<Trial> {
    let small = |(seed, candidate): (usize, Candidate)| {
        trial(format!("sanitize_{}", candidate.logits.id), move |gpu| score(gpu, candidate, seed as u64))
    };
    candidates().enumerate().map(small).collect()
}

/// A chunk and a part of a second, a short sequence, and one without queries.
fn score(gpu: &Gpu, candidate: Candidate, seed: u64) -> Result<(), String> {
    let shape = |length, captured| SequenceShape { length, room: 1, captured };
    let mut recipe = ragged(candidate, seed);
    recipe.sequences = vec![shape(300, true), shape(17, true), shape(40, false)];
    let input = recipe.input().map_err(text)?;
    let reference = reference_of(&input)?;
    let stream = stream(gpu)?;
    for splits in [1, 2] {
        let candidate = Candidate { splits, ..candidate };
        let scored = Prepared::new(&gpu.modules, &stream, &input, candidate)?.score(&stream)?;
        judge(&input, &reference, &scored).map_err(|error| format!("{candidate}, seed {seed}: {error}"))?;
    }
    Ok(())
}
