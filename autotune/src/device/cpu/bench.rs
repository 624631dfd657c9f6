//! Checks and times candidates on the CPU: single calls, one after the other.

use std::time::Instant;

use dustin::{InvalidInput, cpu::CpuBackend};

use crate::{
    device::backend::Spoil,
    search::{Bench, Failure},
};

/// An input of one kernel, and what candidates write.
pub(super) trait Side {
    /// A point of the kernel's space.
    type Candidate;

    /// Fills what candidates write, so that what is not written shows.
    fn poison(&mut self);

    /// Runs a candidate over the input; gives the status word.
    ///
    /// # Errors
    /// The candidate cannot run it.
    fn run(&mut self, backend: &mut CpuBackend, candidate: &Self::Candidate) -> Result<u64, InvalidInput>;

    /// Overwrites what the last run wrote, byte by byte.
    fn spoil(&mut self, byte: u8);

    /// Judges what the last run wrote.
    ///
    /// # Errors
    /// What differs.
    fn judge(&self) -> Result<(), String>;
}

/// One problem on the CPU.
pub(super) struct CpuBench<S: Side> {
    pub(super) backend: CpuBackend,
    pub(super) candidates: Vec<S::Candidate>,
    pub(super) awkward: S,
    pub(super) timed: S,
    /// A candidate whose results are spoiled, and how.
    pub(super) spoil: Option<Spoil>,
}

impl<S: Side> Bench for CpuBench<S> {
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure> {
        let Self { backend, candidates, awkward, timed, spoil } = self;
        for side in [awkward, timed] {
            side.poison();
            let status = side.run(backend, &candidates[candidate]).map_err(failure)?;
            if status != 0 {
                return Err(Failure::Candidate(format!("it reports status {status:#x} on valid input")));
            }
            if let Some(spoil) = spoil.filter(|spoil| spoil.candidate == candidate) {
                side.spoil(spoil.byte);
            }
            side.judge().map_err(Failure::Candidate)?;
        }
        // The first run of a machine that others use, too, says little.
        Ok(None)
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        let Self { backend, candidates, timed, .. } = self;
        let mut run = || {
            let start = Instant::now();
            timed.run(backend, &candidates[candidate]).map_err(failure)?;
            Ok(start.elapsed().as_secs_f64() * 1e6)
        };
        run()?;
        (0..repetitions).map(|_| run()).collect()
    }
}

fn failure(error: InvalidInput) -> Failure {
    Failure::Candidate(error.to_string())
}
