//! The paired run-off: the winner against the default, in turns, so that drift meets both alike.

use super::{
    bench::{self, Bench, Failure},
    conditions::Steadiness,
    statistics::Estimate,
};

/// What the run-off measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunOff {
    /// The challenger.
    pub(crate) challenger: Estimate,
    /// The default.
    pub(crate) default: Estimate,
    /// The default's time less the challenger's, pair by pair.
    pub(crate) gain: Estimate,
}

impl RunOff {
    /// Whether the gain is above zero with the interval's confidence.
    pub(crate) fn confirmed(&self) -> bool {
        self.gain.low > 0.0
    }
}

/// Runs `pairs` pairs in the order A B, B A, A B … A pair counts if the
/// device was steady, and is repeated otherwise.
///
/// # Errors
/// The first attempt that failed, and whose it was.
pub(crate) fn run_off(
    bench: &mut dyn Bench,
    challenger: usize,
    default: usize,
    pairs: u32,
    steadiness: &mut Steadiness,
) -> Result<Option<RunOff>, (usize, Failure)> {
    let unsteady = steadiness.unsteady().len();
    let (mut ours, mut theirs, mut gains) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let (a, b) = loop {
            let mut time =
                |candidate| bench::time(bench, candidate, 1).map_err(|failure| (candidate, failure));
            let times = if pair % 2 == 0 {
                let a = time(challenger)?;
                (a, time(default)?)
            } else {
                let b = time(default)?;
                (time(challenger)?, b)
            };
            if steadiness.counts(bench.conditions()) {
                break times;
            }
        };
        if let (Some(&a), Some(&b)) = (a.first(), b.first()) {
            ours.push(a);
            theirs.push(b);
            gains.push(b - a);
        }
    }
    let steady = steadiness.unsteady().len() == unsteady;
    // What was unsteady met both of a pair alike: of the gain the interval is as good as ever.
    Ok(Estimate::told(&ours, steady)
        .zip(Estimate::told(&theirs, steady))
        .zip(Estimate::of(&gains))
        .map(|((challenger, default), gain)| RunOff { challenger, default, gain }))
}
