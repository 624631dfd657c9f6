//! Checks and times candidates on the CPU: single calls, one after the other.

use std::time::Instant;

use dustin::{InvalidInput, cpu::CpuBackend};

use crate::{
    device::{
        backend::Spoil,
        judge::{Case, Written as _},
    },
    search::{Bench, Failure},
};

/// Calls in a row that are judged: as many as are timed at a time, with the one that warms up.
const CALLS: usize = 4;

/// A case that the back end runs.
pub(super) trait Side: Case {
    /// A point of the kernel's space.
    type Candidate;

    /// Runs a candidate over the input; gives the status word.
    ///
    /// # Errors
    /// The candidate cannot run it.
    fn run(
        &self,
        backend: &mut CpuBackend,
        candidate: &Self::Candidate,
        written: &mut Self::Written,
    ) -> Result<u64, InvalidInput>;
}

/// One problem on the CPU.
pub(super) struct CpuBench<S: Side> {
    backend: CpuBackend,
    candidates: Vec<S::Candidate>,
    awkward: S,
    timed: S,
    /// What is written while a candidate is timed.
    written: S::Written,
    spoil: Option<Spoil>,
}

impl<S: Side> CpuBench<S> {
    pub(super) fn new(
        backend: CpuBackend,
        candidates: Vec<S::Candidate>,
        (awkward, timed): (S, S),
        spoil: Option<Spoil>,
    ) -> Self {
        let written = timed.unwritten();
        Self { backend, candidates, awkward, timed, written, spoil }
    }
}

impl<S: Side> Bench for CpuBench<S> {
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure> {
        let Self { backend, candidates, awkward, timed, spoil, .. } = self;
        for side in [awkward, timed] {
            let mut written = side.unwritten();
            run(side, backend, &candidates[candidate], &mut written)?;
            if let Some(byte) = Spoil::of_check(*spoil, candidate) {
                written.spoil(byte);
            }
            side.judge(&written).map_err(Failure::Candidate)?;
        }
        // The first run of a machine that others use, too, says little.
        Ok(None)
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        let Self { backend, candidates, timed, written, .. } = self;
        let mut time = || {
            let start = Instant::now();
            run(timed, backend, &candidates[candidate], written)?;
            Ok(start.elapsed().as_secs_f64() * 1e6)
        };
        time()?;
        (0..repetitions).map(|_| time()).collect()
    }

    fn confirm(&mut self, candidate: usize) -> Result<(), Failure> {
        let Self { backend, candidates, timed, spoil, .. } = self;
        // Arrays of its own for each call, so that no call hides what the one before has written.
        let mut series: Vec<S::Written> = (0..CALLS).map(|_| timed.unwritten()).collect();
        for written in &mut series {
            run(timed, backend, &candidates[candidate], written)?;
        }
        if let (Some(byte), Some(first)) = (Spoil::of_timing(*spoil, candidate), series.first_mut()) {
            first.spoil(byte);
        }
        series.iter().try_for_each(|written| timed.judge(written)).map_err(Failure::as_timed)
    }
}

fn run<S: Side>(
    side: &S,
    backend: &mut CpuBackend,
    candidate: &S::Candidate,
    written: &mut S::Written,
) -> Result<(), Failure> {
    match side.run(backend, candidate, written) {
        Ok(0) => Ok(()),
        Ok(status) => Err(Failure::Candidate(format!("it reports status {status:#x} on valid input"))),
        Err(error) => Err(Failure::Candidate(error.to_string())),
    }
}
