//! The tuning space of selection on a GPU, as data, and the choice made without tuning. Pure functions of the problem and
//! of the device's limits.

use std::{cmp::Reverse, fmt};

use dustin_kernels::registry::{SELECT, SelectVariant};

use crate::{
    error::InvalidInput,
    limits::{DeviceLimits, Reason},
    select::{
        launch::{CLUSTERS, SelectPlan},
        problem::SelectProblem,
    },
};

/// One point of the space.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The kernel.
    pub variant: &'static SelectVariant,
    /// Blocks that share a sequence.
    pub cluster: u32,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.variant.id == other.variant.id && self.cluster == other.cluster
    }
}

impl Eq for Candidate {}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cluster={}", self.variant.id, self.cluster)
    }
}

/// A point that cannot be launched, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The point.
    pub candidate: Candidate,
    /// The limit that it exceeds.
    pub reason: Reason,
}

/// Every point: those that can be launched on the device, and the others with their reasons.
///
/// # Errors
/// The problem is invalid.
pub fn candidates(
    problem: &SelectProblem,
    limits: &DeviceLimits,
) -> Result<(Vec<Candidate>, Vec<Exclusion>), InvalidInput> {
    problem.validate()?;
    let (mut legal, mut excluded) = (Vec::new(), Vec::new());
    for candidate in points() {
        match exclusion(problem, limits, candidate) {
            None => legal.push(candidate),
            Some(reason) => excluded.push(Exclusion { candidate, reason }),
        }
    }
    Ok((legal, excluded))
}

/// The choice made without tuning: the largest cluster that leaves every cluster a place on the device, and each block
/// a few positions for every thread; then blocks of 16 warps, or the next.
///
/// The maps lie in the second cache, which more multiprocessors read faster, while a cluster that waits for a place
/// doubles the time. Most of a launch are short steps that each warp takes: 8 have too few lanes for the positions, and 32 issue
/// each instruction twice as often as 16.
///
/// # Errors
/// The problem is invalid, or no variant runs on the device.
pub fn default_candidate(problem: &SelectProblem, limits: &DeviceLimits) -> Result<Candidate, InvalidInput> {
    problem.validate()?;
    let preference = |candidate: &Candidate| {
        let blocks = u64::from(problem.batch) * u64::from(candidate.cluster);
        let threads = blocks * u64::from(candidate.variant.tile.threads());
        let useful = candidate.cluster == 1
            || blocks <= places(candidate.cluster, limits)
                && threads * POSITIONS <= problem.map_capacity.into();
        let excess = candidate.variant.tile.warps.abs_diff(WARPS);
        (useful, candidate.cluster, Reverse(excess), Reverse(candidate.variant.id))
    };
    let legal = points().filter(|&candidate| exclusion(problem, limits, candidate).is_none());
    legal.max_by_key(preference).ok_or_else(|| {
        let actual = format!("none for compute capability {}.{}", limits.major, limits.minor);
        InvalidInput::new("selection", "device", "one that a variant runs on", actual)
    })
}

/// Positions that a thread should have to read.
const POSITIONS: u64 = 4;

/// Warps of a block, if there is the choice.
const WARPS: u32 = 16;

/// Blocks of clusters of so many that the device surely has a place for at a time, one to a multiprocessor. Larger clusters than
/// pairs fit into parts of the device that they do not divide: of 132 multiprocessors, 120 had one when measured.
fn places(cluster: u32, limits: &DeviceLimits) -> u64 {
    let multiprocessors = u64::from(limits.sm_count);
    if cluster > 2 { multiprocessors * 10 / 11 } else { multiprocessors }
}

fn points() -> impl Iterator<Item = Candidate> {
    SELECT.iter().flat_map(|variant| CLUSTERS.map(|cluster| Candidate { variant, cluster }))
}

/// Why `candidate` cannot be launched on the device; nothing if it can.
pub(crate) fn exclusion(
    problem: &SelectProblem,
    limits: &DeviceLimits,
    candidate: Candidate,
) -> Option<Reason> {
    let variant = candidate.variant;
    limits.excludes(variant.target).or_else(|| match SelectPlan::new(problem, variant, candidate.cluster) {
        Ok(plan) => limits.exceeded(plan.shared_bytes(), plan.threads()),
        Err(error) => Some(error.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: DeviceLimits = DeviceLimits {
        major: 9,
        minor: 0,
        sm_count: 132,
        shared_bytes_per_block: 232_448,
        threads_per_block: 1024,
    };

    const A100: DeviceLimits =
        DeviceLimits { major: 8, sm_count: 108, shared_bytes_per_block: 166_912, ..H200 };

    fn problem(batch: u32, length: u32) -> SelectProblem {
        SelectProblem::plain(batch, batch * length, 512)
    }

    #[test]
    fn every_point_is_launched_or_excluded_with_its_reason() {
        let (legal, excluded) = candidates(&problem(16, 32_768), &H200).unwrap();
        assert_eq!(legal.len() + excluded.len(), SELECT.len() * CLUSTERS.len());
        assert!(legal.iter().any(|candidate| candidate.cluster == 8));
        assert!(legal.iter().all(|candidate| candidate.variant.tile.clustered || candidate.cluster == 1));
        assert!(excluded.iter().all(|e| e.reason.to_string().contains("has no clusters")), "{excluded:?}");
    }

    #[test]
    fn what_the_device_cannot_run_is_excluded_with_the_limit_that_it_exceeds() {
        let reasons = |limits: DeviceLimits, part: &str| {
            let (legal, excluded) = candidates(&problem(16, 32_768), &limits).unwrap();
            (legal, excluded.iter().filter(|e| e.reason.to_string().contains(part)).count())
        };
        let (legal, count) = reasons(A100, "sm_90 does not run on compute capability 8.0");
        assert!(!legal.is_empty() && count > 0);
        assert!(legal.iter().all(|candidate| !candidate.variant.tile.clustered && candidate.cluster == 1));
        let (legal, count) =
            reasons(DeviceLimits { threads_per_block: 31, ..H200 }, "threads per block of 31");
        assert!(legal.is_empty() && count > 0);
        let small = DeviceLimits { shared_bytes_per_block: 1, ..H200 };
        let (legal, count) = reasons(small, "bytes of shared memory per block of 1");
        assert!(legal.is_empty() && count > 0);
        let old = DeviceLimits { major: 7, minor: 5, ..H200 };
        assert_eq!(default_candidate(&problem(1, 100), &old).unwrap_err().field, "device");
    }

    #[test]
    fn the_default_shares_long_sequences_as_far_as_the_device_has_room() {
        let cluster = |batch, length, limits| {
            let candidate = default_candidate(&problem(batch, length), limits).unwrap();
            let (legal, _) = candidates(&problem(batch, length), limits).unwrap();
            assert!(legal.contains(&candidate), "{candidate}");
            assert_eq!(candidate.variant.tile.warps, 16);
            candidate.cluster
        };
        assert_eq!(cluster(1, 131_072, &H200), 8);
        assert_eq!(cluster(15, 32_768, &H200), 8);
        assert_eq!(cluster(16, 32_768, &H200), 4);
        assert_eq!(cluster(30, 32_768, &H200), 4);
        assert_eq!(cluster(31, 32_768, &H200), 2);
        assert_eq!(cluster(64, 32_768, &H200), 2);
        assert_eq!(cluster(200, 32_768, &H200), 1);
        assert_eq!(cluster(16, 512, &H200), 1);
        assert_eq!(cluster(1, 131_072, &A100), 1);
    }
}
