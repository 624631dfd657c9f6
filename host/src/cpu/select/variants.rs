//! The configurations of selection on the CPU as data, and the tuning space that they span.

use std::fmt;

use super::{super::CpuLimits, OPERATION};
use crate::{error::InvalidInput, select::problem::SelectProblem};

/// One configuration. Every one serves every problem, and gives the same sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Stable id.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// Positions that one task searches.
    pub chunk: u32,
}

/// Every configuration.
pub static VARIANTS: &[Variant] = &[
    Variant { id: "select_cpu_c4096", revision: 1, chunk: 4096 },
    Variant { id: "select_cpu_c16384", revision: 1, chunk: 16_384 },
    Variant { id: "select_cpu_c65536", revision: 1, chunk: 65_536 },
    Variant { id: "select_cpu_c1048576", revision: 1, chunk: 1_048_576 },
];

/// One point of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The configuration.
    pub variant: &'static Variant,
    /// Threads that share out the tasks.
    pub threads: u32,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} threads={}", self.variant.id, self.threads)
    }
}

impl Candidate {
    /// Checks the launch parameters.
    ///
    /// # Errors
    /// The threads are out of range, or the variant is not one of [`VARIANTS`].
    pub fn validate(&self, limits: CpuLimits) -> Result<(), InvalidInput> {
        if !VARIANTS.contains(self.variant) {
            return Err(InvalidInput::new(OPERATION, "variant", "one of VARIANTS", self.variant.id));
        }
        limits.require_threads(OPERATION, self.threads)?;
        Ok(())
    }
}

/// A point that is not worth launching, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The point.
    pub candidate: Candidate,
    /// Why it is left out.
    pub reason: String,
}

/// Every variant with 1, 2, 4 … and all threads: those that differ from each other on the problem, and the others with
/// their reasons.
///
/// # Errors
/// The problem is invalid.
pub fn candidates(
    problem: &SelectProblem,
    limits: CpuLimits,
) -> Result<(Vec<Candidate>, Vec<Exclusion>), InvalidInput> {
    problem.validate()?;
    let threads = limits.thread_counts();
    let (mut legal, mut excluded) = (Vec::new(), Vec::new());
    for variant in VARIANTS {
        for &threads in &threads {
            let candidate = Candidate { variant, threads };
            match exclusion(problem, candidate) {
                None => legal.push(candidate),
                Some(reason) => excluded.push(Exclusion { candidate, reason }),
            }
        }
    }
    Ok((legal, excluded))
}

/// The choice made without tuning: all threads, and the largest chunks that give each of them a task when the maps are
/// full, but no smaller ones than a set takes to fill several times.
///
/// # Errors
/// The problem is invalid.
pub fn default_candidate(problem: &SelectProblem, limits: CpuLimits) -> Result<Candidate, InvalidInput> {
    problem.validate()?;
    let share = problem.map_capacity / limits.threads.max(1);
    let wanted = share.max(problem.budget.saturating_mul(8));
    let variant = VARIANTS.iter().rfind(|variant| variant.chunk <= wanted).unwrap_or(&VARIANTS[0]);
    Ok(Candidate { variant, threads: limits.threads })
}

fn exclusion(problem: &SelectProblem, candidate: Candidate) -> Option<String> {
    let (chunk, capacity) = (candidate.variant.chunk, problem.map_capacity);
    let smaller = VARIANTS.iter().any(|variant| variant.chunk < chunk && variant.chunk >= capacity);
    if smaller {
        return Some(format!("smaller chunks than {chunk} positions hold all {capacity} of the maps"));
    }
    // A sequence's last chunk may be partial.
    let tasks = u64::from(problem.batch) + u64::from(capacity / chunk);
    if u64::from(candidate.threads) > tasks {
        return Some(format!("{tasks} tasks leave some of {} threads idle", candidate.threads));
    }
    None
}
