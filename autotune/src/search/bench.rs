//! What the search asks of a device: a check and a stopwatch for each candidate.

use super::{conditions::Conditions, statistics::Estimate};

/// What a candidate occupies, in the order in which ties are broken: fewer of the first field that differs wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resources {
    /// Workspace bytes in global memory.
    pub(crate) workspace: u64,
    /// Shared (or cache-resident) bytes of one block.
    pub(crate) shared: u64,
    /// Threads in all.
    pub(crate) threads: u64,
}

/// One configuration that may legally run the problem.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Stable name of the variant and its launch parameters.
    pub(crate) id: String,
    /// What it occupies.
    pub(crate) resources: Resources,
}

/// Why an attempt gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// This candidate cannot serve the problem: the search records why and goes on.
    #[error("{0}")]
    Candidate(String),
    /// Nothing can be measured any longer, of any candidate.
    #[error("{0}")]
    Device(String),
}

impl Failure {
    /// Of a candidate that passes its check, and yet writes something else while it is timed: that in words.
    pub(crate) fn as_timed(reason: String) -> Self {
        Self::Candidate(format!("right alone, but wrong as it is timed: {reason}"))
    }
}

/// Who races.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// What may run; candidates are named by their position here.
    pub(crate) candidates: &'a [Candidate],
    /// The candidate that runs where nothing was tuned.
    pub(crate) default: usize,
}

/// Times one candidate.
///
/// # Errors
/// Those of [`Bench::time`]; times that are none.
pub(super) fn time(bench: &mut dyn Bench, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
    bench.time(candidate, repetitions).and_then(believed)
}

/// Bursts in which a candidate is timed by itself, and repetitions of each.
const BURSTS: u32 = 9;
const REPETITIONS: u32 = 3;

/// Times one candidate by itself, in several bursts.
///
/// # Errors
/// Those of [`Bench::time`]; times that are none.
pub(crate) fn bursts(bench: &mut dyn Bench, candidate: usize) -> Result<Estimate, Failure> {
    let mut times = Vec::new();
    for _ in 0..BURSTS {
        times.extend(time(bench, candidate, REPETITIONS)?);
    }
    Estimate::of(&times).ok_or_else(|| Failure::Candidate("it gave no times".into()))
}

/// Believes positive numbers alone.
///
/// # Errors
/// One of the times is none: then none of them is worth anything.
pub(crate) fn believed(times: Vec<f64>) -> Result<Vec<f64>, Failure> {
    if times.iter().all(|time| is_time(*time)) {
        return Ok(times);
    }
    Err(Failure::Candidate(format!("its times are not positive numbers: {times:?}")))
}

/// Whether so many microseconds can be a time.
pub(crate) fn is_time(us: f64) -> bool {
    us.is_finite() && us > 0.0
}

/// One problem, prepared on one device for the candidates of a [`Field`].
pub(crate) trait Bench {
    /// Compares the candidate's results with the reference, on fresh poisoned outputs. Gives about how long its run took,
    /// in microseconds, where that tells anything: it may be much more than one of many runs takes.
    ///
    /// # Errors
    /// [`Failure::Candidate`] says what differs.
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure>;

    /// Times one candidate, warm-up excluded: microseconds per run, one figure per repetition.
    ///
    /// # Errors
    /// A launch that failed, or a device that is lost.
    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure>;

    /// Compares what the candidate writes as it is timed, launch upon launch, with what it writes in a run of its own: what is
    /// right alone may be wrong where launches overlap.
    ///
    /// # Errors
    /// [`Failure::Candidate`] says what differs.
    fn confirm(&mut self, candidate: usize) -> Result<(), Failure>;

    /// What the device is like at this moment, where anything is known of that.
    fn conditions(&mut self) -> Option<Conditions> {
        None
    }
}
