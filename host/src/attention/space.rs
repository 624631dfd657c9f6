//! The tuning space of attention on a GPU, as data, and the choice made without tuning. Pure functions of the problem
//! and of the device's limits.

use std::fmt;

use dustin_kernels::registry::{ATTENTION, AttentionVariant};

use crate::{
    attention::{
        launch::{AttentionPlan, chunks},
        problem::AttentionProblem,
    },
    error::InvalidInput,
    limits::DeviceLimits,
};

/// The numbers of splits that are tried.
pub const SPLITS: [u32; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32];

/// One point of the space.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The kernel.
    pub variant: &'static AttentionVariant,
    /// Splits of each sequence's tokens.
    pub splits: u32,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.variant.id == other.variant.id && self.splits == other.splits
    }
}

impl Eq for Candidate {}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} splits={}", self.variant.id, self.splits)
    }
}

/// A point that cannot be launched, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The point.
    pub candidate: Candidate,
    /// The limit that it exceeds.
    pub reason: String,
}

/// Every point for the problem's element type and head size: those that can be launched on the device, and the others
/// with their reasons.
///
/// # Errors
/// The problem is invalid.
pub fn candidates(
    problem: &AttentionProblem,
    limits: &DeviceLimits,
) -> Result<(Vec<Candidate>, Vec<Exclusion>), InvalidInput> {
    problem.validate()?;
    let mut legal = Vec::new();
    let mut excluded = Vec::new();
    for variant in variants(problem) {
        for splits in SPLITS {
            let candidate = Candidate { variant, splits };
            match exclusion(problem, limits, candidate) {
                None => legal.push(candidate),
                Some(reason) => excluded.push(Exclusion { candidate, reason }),
            }
        }
    }
    Ok((legal, excluded))
}

/// The choice made without tuning: the fewest chunks, in them the fewest idle columns, 8 warps where they fit, tiles of
/// two token groups where a full set fills one (else of one), the fewest stages, and as many splits as give every
/// multiprocessor a block.
///
/// Larger tiles have fewer barriers to a token, but one that the set does not fill is waited for in part for nothing. A
/// set is few tiles, so that a deep ring is hardly used, while its shared memory keeps other blocks away: on an NVIDIA
/// H200 fewer stages were at least as fast in every workload measured.
///
/// # Errors
/// The problem is invalid, or no variant runs on the device.
pub fn default_candidate(
    problem: &AttentionProblem,
    limits: &DeviceLimits,
) -> Result<Candidate, InvalidInput> {
    problem.validate()?;
    let fits = |variant: &&'static AttentionVariant| {
        exclusion(problem, limits, Candidate { variant, splits: 1 }).is_none()
    };
    let preference = |variant: &&'static AttentionVariant| {
        let tile = variant.tile;
        let unfilled = problem.set_capacity < tile.tokens();
        let groups = tile.groups.abs_diff(if unfilled { 1 } else { 2 });
        let shape = (tile.warps().abs_diff(12), unfilled, groups, std::cmp::Reverse(tile.stages));
        (chunks(problem, variant), tile.columns, shape, variant.id)
    };
    let Some(variant) = variants(problem).filter(fits).min_by_key(preference) else {
        let required = format!("a variant of {:?} and head_dim {}", problem.dtype, problem.kv.head_dim);
        let actual = format!("none for compute capability {}.{}", limits.major, limits.minor);
        return Err(InvalidInput::new("sparse attention", "device", required, actual));
    };
    let blocks = problem.batch * problem.kv.kv_heads * chunks(problem, variant);
    let tiles = (problem.set_capacity + problem.rows).div_ceil(variant.tile.tokens());
    let wanted = (limits.sm_count / blocks).clamp(1, tiles);
    let splits = SPLITS.into_iter().rfind(|&splits| splits <= wanted).unwrap_or(1);
    Ok(Candidate { variant, splits })
}

fn variants(problem: &AttentionProblem) -> impl Iterator<Item = &'static AttentionVariant> {
    let (dtype, head_dim) = (problem.dtype, problem.kv.head_dim);
    ATTENTION.iter().filter(move |variant| variant.dtype == dtype && variant.head_dim == head_dim)
}

/// Why `candidate` cannot be launched on the device; nothing if it can.
pub(crate) fn exclusion(
    problem: &AttentionProblem,
    limits: &DeviceLimits,
    candidate: Candidate,
) -> Option<String> {
    let variant = candidate.variant;
    if !variant.target.runs_on(limits.major, limits.minor) {
        let (major, minor) = (limits.major, limits.minor);
        return Some(format!("{} does not run on compute capability {major}.{minor}", variant.target.name()));
    }
    let (required, available) = (variant.shared_bytes(), limits.shared_bytes_per_block);
    if required > available {
        return Some(format!("needs {required} bytes of shared memory per block of {available}"));
    }
    let (required, available) = (variant.tile.threads(), limits.threads_per_block);
    if required > available {
        return Some(format!("needs {required} threads per block of {available}"));
    }
    AttentionPlan::new(problem, variant, candidate.splits).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Dtype;

    use super::*;
    use crate::kv::{KvLayout, PagedKv};

    const H200: DeviceLimits = DeviceLimits {
        major: 9,
        minor: 0,
        sm_count: 132,
        shared_bytes_per_block: 232_448,
        threads_per_block: 1024,
    };

    fn problem(batch: u32, dtype: Dtype, head_dim: u32) -> AttentionProblem {
        AttentionProblem {
            batch,
            rows: 5,
            total_rows: 5 * batch,
            set_capacity: 512,
            query_heads: 64,
            kv: PagedKv::dense(KvLayout::Nhd, 100, 16, 8, head_dim),
            table_width: 2049,
            dtype,
            lse: false,
        }
    }

    #[test]
    fn every_problem_has_at_least_200_legal_points_and_24_tiles() {
        for dtype in [Dtype::Bf16, Dtype::F16] {
            for head_dim in [64, 128] {
                let (legal, excluded) = candidates(&problem(1, dtype, head_dim), &H200).unwrap();
                assert!(legal.len() >= 200, "{} points", legal.len());
                assert_eq!((legal.len() + excluded.len()) % SPLITS.len(), 0);
                let tiles: std::collections::HashSet<_> = legal.iter().map(|c| c.variant.tile).collect();
                assert!(tiles.len() >= 24, "{} tiles", tiles.len());
            }
        }
    }

    #[test]
    fn what_the_device_cannot_run_is_excluded_with_the_limit_that_it_exceeds() {
        let small = DeviceLimits { shared_bytes_per_block: 99 << 10, ..H200 };
        let (legal, excluded) = candidates(&problem(1, Dtype::Bf16, 128), &small).unwrap();
        assert!(legal.iter().all(|c| c.variant.shared_bytes() <= 99 << 10));
        assert!(!excluded.is_empty());
        assert!(excluded.iter().all(|e| e.reason.contains("shared memory per block of 101376")));

        let old = DeviceLimits { major: 7, minor: 5, ..H200 };
        let (legal, excluded) = candidates(&problem(1, Dtype::Bf16, 128), &old).unwrap();
        assert!(legal.is_empty());
        assert!(excluded.iter().all(|e| e.reason == "sm_80 does not run on compute capability 7.5"));
        assert_eq!(default_candidate(&problem(1, Dtype::Bf16, 128), &old).unwrap_err().field, "device");
    }

    #[test]
    fn the_default_wastes_no_columns_and_splits_small_batches() {
        let full = default_candidate(&problem(16, Dtype::Bf16, 128), &H200).unwrap();
        assert_eq!(full.variant.id, "attention_bf16_d128_c3_t4_n2_s3");
        assert_eq!((full.variant.tile.columns, full.variant.tile.warps(), full.splits), (3, 12, 1));
        let single = default_candidate(&problem(1, Dtype::Bf16, 128), &H200).unwrap();
        assert!(single.splits > 1);
        let (legal, _) = candidates(&problem(1, Dtype::Bf16, 128), &H200).unwrap();
        assert!(legal.contains(&single));
    }
    #[test]
    fn the_default_takes_tiles_of_one_token_group_where_a_set_fills_no_larger_one() {
        let groups = |set_capacity| {
            let problem = AttentionProblem { set_capacity, ..problem(16, Dtype::Bf16, 128) };
            default_candidate(&problem, &H200).unwrap().variant.tile.groups
        };
        assert_eq!([0, 64, 128, 255, 256, 4096].map(groups), [1, 1, 2, 2, 2, 2]);
    }
}
