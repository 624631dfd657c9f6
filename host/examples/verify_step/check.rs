//! What a step must have found.

use anyhow::{bail, ensure};

use crate::{
    device::Results,
    world::{Side, World},
};

/// The most that a map's sum over a set may differ from the attention that its heads pay to the set.
const TOLERANCE: f64 = 1e-4;

/// What was found of one sequence, or of all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Findings {
    /// Needles that were selected, and all: the target's, the draft's.
    pub needles: [(usize, usize); 2],
    /// Attention that the target's scoring heads, and the draft's, pay to the set.
    pub mass: [f64; 2],
    /// The map's sum over the set.
    pub sum: [f64; 2],
}

/// Judges what a step has written; what was found of each sequence.
///
/// # Errors
/// A needle was missed, a map's sum is not the mass, or other drafts were accepted than agreed.
pub(crate) fn check(world: &World, results: &Results) -> anyhow::Result<Vec<Findings>> {
    let budget = world.shape.budget as usize;
    let sets: Vec<&[i32]> = results
        .set
        .chunks(budget)
        .zip(&results.set_sizes)
        .map(|(set, &size)| &set[..usize::try_from(size).unwrap_or(0).min(budget)])
        .collect();
    let mut findings = vec![Findings::default(); sets.len()];
    for (which, side) in [&world.target, &world.draft].into_iter().enumerate() {
        let name = ["target", "draft"][which];
        let masses = side.keys(&world.tile, &world.shape).mass(&side.readers, &side.needles, &sets);
        for (sequence, found) in findings.iter_mut().enumerate() {
            found.needles[which] = recall(side, name, sequence as u32, sets[sequence])?;
            let start = world.map_starts[sequence] as usize;
            let map = &results.maps[which][start..];
            let sum: f64 = sets[sequence].iter().map(|&position| f64::from(map[position as usize])).sum();
            (found.mass[which], found.sum[which]) = (masses[sequence], sum);
            let apart = (sum - masses[sequence]).abs();
            // Not the other way round: NaN must not pass.
            let close = apart <= TOLERANCE;
            ensure!(
                close,
                "sequence {sequence}: the {name}'s map sums up to {sum:.6} over the set, whose attention mass is {:.6}",
                masses[sequence]
            );
        }
    }
    ensure!(
        results.emitted == world.emitted(),
        "emitted were {:?} instead of {:?}",
        results.emitted,
        world.emitted()
    );
    Ok(findings)
}

/// Selected needles of `sequence`, and all.
fn recall(side: &Side, name: &str, sequence: u32, set: &[i32]) -> anyhow::Result<(usize, usize)> {
    let own: Vec<_> = side.needles.iter().filter(|needle| needle.sequence == sequence).collect();
    let missed = own.iter().find(|needle| set.binary_search(&(needle.position as i32)).is_err());
    if let Some(needle) = missed {
        bail!("sequence {sequence}: the {name}'s needle at {} was not selected", needle.position);
    }
    Ok((own.len(), own.len()))
}
