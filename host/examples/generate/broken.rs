//! Acceptances that are not lossless, to show that the checks find them.

use dustin::{
    accept::arrays::ScoreItems,
    cpu::{AcceptanceArrays, CpuVerifier, StepArrays},
};

use crate::{
    decode::{Accepted, library},
    sampler::{Sampler, best},
};

/// Keeps the first candidate of every level, whatever the target says.
pub(crate) fn keeps_all(
    _: &mut CpuVerifier,
    step: &StepArrays<'_>,
    arrays: &AcceptanceArrays<'_>,
    found: &mut Accepted,
) -> anyhow::Result<()> {
    let rows = step.row_starts[1] as usize;
    let parent = |row: usize| arrays.parents.map_or(row as i32 - 1, |parents| parents[row]);
    let mut path = vec![0];
    while let Some(next) = (1..rows).find(|&row| Some(parent(row)) == path.last().map(|&last| last as i32)) {
        path.push(next);
    }
    let last = path[path.len() - 1];
    for (place, &row) in path.iter().enumerate() {
        found.path[place] = row as i32;
        found.emitted[place] =
            path.get(place + 1).map_or_else(|| best(of_row(arrays, last)) as i32, |&row| arrays.tokens[row]);
    }
    found.accepted = [path.len() as i32 - 1];
    found.last_row = [last as i32];
    found.length = [step.lengths[0] + path.len() as i32];
    Ok(())
}

/// Draws what stands in place of a rejected draft from all of the target's distribution, not from what the draft's leaves of it.
pub(crate) fn without_residual(
    verifier: &mut CpuVerifier,
    step: &StepArrays<'_>,
    arrays: &AcceptanceArrays<'_>,
    found: &mut Accepted,
) -> anyhow::Result<()> {
    library(verifier, step, arrays, found)?;
    let mut sampler = Sampler::new(arrays.temperatures[0], !arrays.seeds[0] ^ arrays.step);
    let drawn = sampler.candidates(of_row(arrays, found.last_row[0] as usize), 1);
    found.emitted[found.accepted[0] as usize] = drawn[0];
    Ok(())
}

/// The target's logits of a row.
fn of_row<'a>(arrays: &AcceptanceArrays<'a>, row: usize) -> &'a [f32] {
    let vocabulary = arrays.strides.target_row as usize;
    match arrays.target {
        ScoreItems::F32(items) => &items[row * vocabulary..][..vocabulary],
        ScoreItems::Half(_) => unreachable!("the pair's scores are f32"),
    }
}
