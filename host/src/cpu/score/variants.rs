//! The tile configurations of score gathering on the CPU as data, and the tuning space that they span.

use std::fmt;

use super::{super::CpuLimits, OPERATION, chunk};
use crate::{error::InvalidInput, score::problem::ScoreProblem};

/// One tile configuration. Every one serves every problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Stable id.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes.
    pub revision: u32,
    /// Tokens gathered and converted at a time.
    pub tokens: u32,
    /// Query columns multiplied in one pass over a tile: as many accumulators are held in registers.
    pub columns: u32,
}

macro_rules! variants {
    ($($tokens:literal: $($columns:literal)*;)*) => {
        &[$($(Variant {
            id: concat!("score_cpu_t", $tokens, "_q", $columns),
            revision: 1,
            tokens: $tokens,
            columns: $columns,
        },)*)*]
    };
}

/// Every tile configuration.
pub static VARIANTS: &[Variant] = variants! {
    16: 1 2 4 8;
    64: 1 2 4 8;
    256: 1 2 4 8;
};

/// One point of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The tile configuration.
    pub variant: &'static Variant,
    /// Threads that share out the chunks.
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

/// Every variant with 1, 2, 4 … and all threads: those that are worth trying on the problem, and the others with their
/// reasons.
///
/// # Errors
/// The problem is invalid.
pub fn candidates(
    problem: &ScoreProblem,
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

/// The choice made without tuning: tiles of 64 tokens, all threads, and as many columns to a pass as read one KV head, if
/// a variant has no more.
///
/// # Errors
/// The problem is invalid.
pub fn default_candidate(problem: &ScoreProblem, limits: CpuLimits) -> Result<Candidate, InvalidInput> {
    problem.validate()?;
    let widest = widest(problem);
    let serves = |variant: &&Variant| variant.tokens == 64 && variant.columns <= widest;
    let variant = VARIANTS.iter().rfind(serves).unwrap_or(&VARIANTS[0]);
    Ok(Candidate { variant, threads: limits.threads })
}

/// The most columns that read one KV head.
fn widest(problem: &ScoreProblem) -> u32 {
    let groups = problem.sources.iter().flat_map(|source| source.by_kv_head(problem.group()));
    groups.map(|heads| heads.len() as u32 * problem.tokens).max().unwrap_or(1)
}

fn exclusion(problem: &ScoreProblem, candidate: Candidate) -> Option<String> {
    let widest = widest(problem);
    if candidate.variant.columns >= 2 * widest {
        return Some(format!("no KV head is read by more than {widest} columns"));
    }
    // A sequence's last chunk may be partial.
    let tasks = u64::from(problem.batch) + u64::from(problem.map_capacity) / chunk::TOKENS as u64;
    if u64::from(candidate.threads) > tasks {
        return Some(format!("{tasks} tasks leave some of {} threads idle", candidate.threads));
    }
    None
}
