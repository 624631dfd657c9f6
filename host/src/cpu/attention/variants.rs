//! The tile configurations of the CPU back end as data, and the tuning space that they span.

use std::fmt;

use super::{super::CpuLimits, OPERATION};
use crate::{
    attention::{launch::MAX_SPLITS, problem::AttentionProblem},
    error::InvalidInput,
};

/// One tile configuration. Every one serves every element type and head size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuVariant {
    /// Stable id.
    pub id: &'static str,
    /// Rises whenever the variant's meaning changes: its results, or what its launch parameters mean.
    pub revision: u32,
    /// Tokens gathered and converted at a time.
    pub tokens: u32,
    /// Query columns (pairs of query row and query head) multiplied in one pass over a tile: as many accumulators are
    /// held in registers.
    pub columns: u32,
}

macro_rules! variants {
    ($($tokens:literal: $($columns:literal)*;)*) => {
        &[$($(CpuVariant {
            id: concat!("attention_cpu_t", $tokens, "_q", $columns),
            revision: 1,
            tokens: $tokens,
            columns: $columns,
        },)*)*]
    };
}

/// Every tile configuration.
pub static VARIANTS: &[CpuVariant] = variants! {
    16: 1 2 4 5 8 10;
    32: 1 2 4 5 8 10;
    64: 1 2 4 5 8 10;
    128: 1 2 4 5 8 10;
    256: 1 2 4 5 8 10;
    512: 1 2 4 5 8 10;
};

/// The numbers of splits that are tried.
pub const SPLITS: [u32; 6] = [1, 2, 3, 4, 6, 8];

/// One point of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuCandidate {
    /// The tile configuration.
    pub variant: &'static CpuVariant,
    /// Threads that share out the tasks.
    pub threads: u32,
    /// Splits of each sequence's set.
    pub splits: u32,
}

impl fmt::Display for CpuCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} threads={} splits={}", self.variant.id, self.threads, self.splits)
    }
}

impl CpuCandidate {
    /// Checks the launch parameters.
    ///
    /// # Errors
    /// The first one that is out of range, or a variant that is not one of [`VARIANTS`].
    pub fn validate(&self, limits: CpuLimits) -> Result<(), InvalidInput> {
        if !VARIANTS.contains(self.variant) {
            return Err(InvalidInput::new(OPERATION, "variant", "one of VARIANTS", self.variant.id));
        }
        limits.require_threads(OPERATION, self.threads)?;
        if !(1..=MAX_SPLITS).contains(&self.splits) {
            let required = format!("from 1 to {MAX_SPLITS}");
            return Err(InvalidInput::new(OPERATION, "splits", required, self.splits));
        }
        Ok(())
    }
}

/// A point that is not worth launching, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuExclusion {
    /// The point.
    pub candidate: CpuCandidate,
    /// Why it is left out.
    pub reason: String,
}

/// Every variant with 1, 2, 4 … and all threads and each number of splits: those that differ from each other on the
/// problem, and the others with their reasons.
///
/// # Errors
/// The problem is invalid.
pub fn candidates(
    problem: &AttentionProblem,
    limits: CpuLimits,
) -> Result<(Vec<CpuCandidate>, Vec<CpuExclusion>), InvalidInput> {
    problem.validate()?;
    let threads = limits.thread_counts();
    let (mut legal, mut excluded) = (Vec::new(), Vec::new());
    for variant in VARIANTS {
        for &threads in &threads {
            for splits in SPLITS {
                let candidate = CpuCandidate { variant, threads, splits };
                match exclusion(problem, candidate) {
                    None => legal.push(candidate),
                    Some(reason) => excluded.push(CpuExclusion { candidate, reason }),
                }
            }
        }
    }
    Ok((legal, excluded))
}

/// The choice made without tuning: tiles of 64 tokens, 4 columns in registers, all threads, and as many splits as give
/// each of them a task.
///
/// # Errors
/// The problem is invalid.
pub fn default_candidate(
    problem: &AttentionProblem,
    limits: CpuLimits,
) -> Result<CpuCandidate, InvalidInput> {
    problem.validate()?;
    let is_default = |variant: &&CpuVariant| variant.tokens == 64 && variant.columns == 4;
    let variant = VARIANTS.iter().find(is_default).unwrap_or(&VARIANTS[0]);
    let tasks = u64::from(problem.scheduled_batch()) * u64::from(problem.kv.kv_heads);
    let serves = |splits: &u32| {
        exclusion(problem, CpuCandidate { variant, threads: limits.threads, splits: *splits }).is_none()
    };
    let fills = |splits: &u32| u64::from(*splits) * tasks >= u64::from(limits.threads);
    let mut useful = SPLITS.into_iter().filter(serves);
    let splits = useful.clone().find(fills).or(useful.next_back()).unwrap_or(1);
    Ok(CpuCandidate { variant, threads: limits.threads, splits })
}

fn exclusion(problem: &AttentionProblem, candidate: CpuCandidate) -> Option<String> {
    let tiles = problem.confirmed_capacity().div_ceil(candidate.variant.tokens).max(1);
    if candidate.splits > tiles {
        return Some(format!(
            "a full set is {tiles} tiles: some of {} splits would be empty",
            candidate.splits
        ));
    }
    let tasks =
        u64::from(problem.scheduled_batch()) * u64::from(problem.kv.kv_heads) * u64::from(candidate.splits);
    if u64::from(candidate.threads) > tasks {
        return Some(format!("{tasks} tasks leave some of {} threads idle", candidate.threads));
    }
    None
}
