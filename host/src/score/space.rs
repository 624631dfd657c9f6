//! The tuning space of scoring on a GPU, as data, and the choice made without tuning. Pure functions of the problem and
//! of the device's limits.

use std::fmt;

use dustin_kernels::{
    registry::{FOLD, FoldVariant, LOGITS, LogitsVariant},
    score::layout::{BASE, MAX_CHUNKS},
};

use crate::{
    error::InvalidInput,
    limits::{DeviceLimits, Reason},
    score::{
        launch::{ScorePlan, shared_bytes},
        problem::{OPERATION, ScoreProblem},
    },
};

/// The numbers of splits that are tried.
pub const SPLITS: [u32; 14] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];

/// Warps on a multiprocessor that keep its memory busy.
const RESIDENT_WARPS: u32 = 16;

/// One point of the space.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The kernel launched for each source.
    pub logits: &'static LogitsVariant,
    /// The kernel launched last.
    pub fold: &'static FoldVariant,
    /// Splits of each sequence's tokens.
    pub splits: u32,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        (self.logits.id, self.fold.id, self.splits) == (other.logits.id, other.fold.id, other.splits)
    }
}

impl Eq for Candidate {}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} splits={}", self.logits.id, self.fold.id, self.splits)
    }
}

/// A point that cannot be launched, or is not worth it, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The point.
    pub candidate: Candidate,
    /// The limit that it exceeds.
    pub reason: Reason,
}

/// Every point for the problem's element type and head size: those that can be launched on the device, and the others
/// with their reasons.
///
/// # Errors
/// The problem is invalid.
pub fn candidates(
    problem: &ScoreProblem,
    limits: &DeviceLimits,
) -> Result<(Vec<Candidate>, Vec<Exclusion>), InvalidInput> {
    problem.validate()?;
    let (mut legal, mut excluded) = (Vec::new(), Vec::new());
    for (logits, fold) in pairs(problem) {
        for splits in SPLITS {
            let candidate = Candidate { logits, fold, splits };
            match exclusion(problem, limits, candidate) {
                None => legal.push(candidate),
                Some(reason) => excluded.push(Exclusion { candidate, reason }),
            }
        }
    }
    Ok((legal, excluded))
}

/// The choice made without tuning: launches that overlap where the device has them, 8 warps where they fit, tiles of 4 KiB, the
/// shortest ring, a fold of 8 warps, and as many splits as give every multiprocessor 16 warps, but no more than there are
/// chunks.
///
/// # Errors
/// The problem is invalid, or no variant runs on the device.
pub fn default_candidate(problem: &ScoreProblem, limits: &DeviceLimits) -> Result<Candidate, InvalidInput> {
    problem.validate()?;
    let refused = || {
        let required = format!("a variant of {:?} and head_dim {}", problem.dtype, problem.kv.head_dim);
        let excluded = |(logits, fold)| exclusion(problem, limits, Candidate { logits, fold, splits: 1 });
        InvalidInput::no_variant(OPERATION, required, pairs(problem).filter_map(excluded))
    };
    let fits = |&(logits, fold): &(&'static LogitsVariant, &'static FoldVariant)| {
        exclusion(problem, limits, Candidate { logits, fold, splits: 1 }).is_none()
    };
    let (logits, fold) = pairs(problem)
        .filter(fits)
        .min_by_key(|(logits, fold)| {
            let (tile, bytes) = (logits.tile, logits.tile.bytes(logits.head_dim));
            let of_logits = (tile.warps.abs_diff(8), bytes.abs_diff(4096), tile.depth, logits.id);
            (!fold.overlaps, of_logits, fold.warps.abs_diff(8), fold.id)
        })
        .ok_or_else(refused)?;
    let warps = problem.batch * logits.tile.warps;
    let wanted = (limits.sm_count * RESIDENT_WARPS).div_ceil(warps);
    let serves = |splits: u32| exclusion(problem, limits, Candidate { logits, fold, splits }).is_none();
    let splits = SPLITS.into_iter().rfind(|&splits| splits <= wanted && serves(splits)).unwrap_or(1);
    Ok(Candidate { logits, fold, splits })
}

fn variants(problem: &ScoreProblem) -> impl Iterator<Item = &'static LogitsVariant> {
    let (dtype, head_dim) = (problem.dtype, problem.kv.head_dim);
    LOGITS.iter().filter(move |variant| variant.dtype == dtype && variant.head_dim == head_dim)
}

/// The variants that are launched together. Where one overlaps, so does the other: mixtures would double the space.
fn pairs(problem: &ScoreProblem) -> impl Iterator<Item = (&'static LogitsVariant, &'static FoldVariant)> {
    variants(problem).flat_map(|logits| {
        let alike = FOLD.iter().filter(|fold| fold.overlaps == logits.tile.overlaps);
        alike.map(move |fold| (logits, fold))
    })
}

/// Why `candidate` cannot be launched on the device, or is not worth it; nothing if it can.
pub(crate) fn exclusion(
    problem: &ScoreProblem,
    limits: &DeviceLimits,
    candidate: Candidate,
) -> Option<Reason> {
    let Candidate { logits, fold, splits } = candidate;
    let plan = match ScorePlan::new(problem, logits, fold, splits) {
        Ok(plan) => plan,
        Err(error) => return Some(error.into()),
    };
    if let Some(reason) = [logits.target, fold.target].into_iter().find_map(|target| limits.excludes(target))
    {
        return Some(reason);
    }
    let sources = 0..problem.sources.len();
    let shared = sources.map(|source| shared_bytes(problem, logits, source)).max().unwrap_or(0);
    let threads = plan.threads().max(plan.fold_threads());
    if let Some(reason) = limits.exceeded(shared.max(plan.fold_shared_bytes()), threads) {
        return Some(reason);
    }
    // A valid table has room for less than 2^31 tokens.
    let longest = (problem.table_width * problem.kv.page_size).min(problem.map_capacity);
    // Not the chunks of the longest sequence: a shorter one may have more, since chunks grow with the length.
    let (chunks, warps) = (longest.div_ceil(BASE).min(MAX_CHUNKS), logits.tile.warps);
    if (splits - 1) * warps >= chunks {
        return Some(Reason::Idle(format!(
            "a sequence is at most {chunks} chunks: some of {splits} splits would be empty"
        )));
    }
    None
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Dtype;

    use super::*;
    use crate::{
        kv::{KvLayout, PagedKv},
        score::problem::Source,
    };

    const H200: DeviceLimits = DeviceLimits {
        major: 9,
        minor: 0,
        sm_count: 132,
        shared_bytes_per_block: 232_448,
        threads_per_block: 1024,
    };

    fn problem(batch: u32, dtype: Dtype, head_dim: u32) -> ScoreProblem {
        ScoreProblem {
            batch,
            map_capacity: batch << 15,
            tokens: 1,
            slots: batch,
            query_heads: 64,
            kv: PagedKv::dense(KvLayout::Nhd, 100, 16, 8, head_dim),
            table_width: 2048,
            dtype,
            sources: Source::mean(&[&[0, 9, 17, 25]], 1),
            accumulate: false,
        }
    }

    #[test]
    fn every_problem_has_points_of_every_variant_and_a_default_among_them() {
        for dtype in [Dtype::Bf16, Dtype::F16] {
            for head_dim in [64, 128] {
                for batch in [1, 16, 1000] {
                    let problem = problem(batch, dtype, head_dim);
                    let (legal, excluded) = candidates(&problem, &H200).unwrap();
                    let folds = |logits: &LogitsVariant| {
                        FOLD.iter().filter(|fold| fold.overlaps == logits.tile.overlaps).count()
                    };
                    let all: usize = variants(&problem).map(folds).sum();
                    assert_eq!(legal.len() + excluded.len(), all * SPLITS.len());
                    assert!(variants(&problem).all(|v| legal.iter().any(|point| point.logits.id == v.id)));
                    assert!(legal.contains(&default_candidate(&problem, &H200).unwrap()));
                }
            }
        }
    }

    #[test]
    fn the_default_gives_small_batches_more_splits_than_large_ones() {
        let splits = |batch| default_candidate(&problem(batch, Dtype::Bf16, 128), &H200).unwrap().splits;
        assert_eq!([1, 16, 64, 1000].map(splits), [16, 16, 4, 1]);
    }

    #[test]
    fn where_no_variant_serves_the_error_names_the_limit() {
        let heads: [u32; 4] = [0, 9, 17, 25];
        let wide = ScoreProblem {
            tokens: 128,
            sources: Source::mean(&[&heads], 128),
            ..problem(1, Dtype::Bf16, 128)
        };
        let error = default_candidate(&wide, &H200).unwrap_err();
        assert_eq!(error.field, "device");
        assert!(error.to_string().contains("bytes of shared memory per block"), "{error}");
        let old = default_candidate(&problem(1, Dtype::Bf16, 128), &DeviceLimits { major: 7, ..H200 });
        let error = old.unwrap_err().to_string();
        assert!(error.contains("does not run on compute capability 7.0"), "{error}");
    }

    #[test]
    fn what_the_device_cannot_run_is_excluded_with_the_limit_that_it_exceeds() {
        let good = problem(1, Dtype::Bf16, 128);
        let reasons = |problem: &ScoreProblem, limits: &DeviceLimits| -> Vec<String> {
            candidates(problem, limits)
                .unwrap()
                .1
                .into_iter()
                .map(|excluded| excluded.reason.to_string())
                .collect()
        };
        let empty = "a sequence is at most 128 chunks: some of 128 splits would be empty";
        assert!(reasons(&good, &H200).contains(&empty.to_owned()));

        let old = DeviceLimits { major: 7, minor: 5, ..H200 };
        let unsupported =
            ["sm_80", "sm_90"].map(|name| format!("{name} does not run on compute capability 7.5"));
        assert!(reasons(&good, &old).iter().all(|reason| unsupported.contains(reason)));
        assert_eq!(default_candidate(&good, &old).unwrap_err().field, "device");

        // Launches overlap where they can.
        let overlaps = |limits| {
            let Candidate { logits, fold, .. } = default_candidate(&good, &limits).unwrap();
            (logits.tile.overlaps, fold.overlaps)
        };
        assert_eq!(overlaps(H200), (true, true));
        assert_eq!(overlaps(DeviceLimits { major: 8, minor: 0, ..H200 }), (false, false));

        let small = DeviceLimits { shared_bytes_per_block: 99 << 10, ..H200 };
        let wide = ScoreProblem { tokens: 128, ..good.clone() };
        let shared = "bytes of shared memory per block of 101376";
        assert!(reasons(&wide, &small).iter().any(|reason| reason.contains(shared)));

        let narrow = DeviceLimits { threads_per_block: 128, ..H200 };
        assert!(reasons(&good, &narrow).contains(&"needs 256 threads per block of 128".to_owned()));
    }
}
