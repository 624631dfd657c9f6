//! The tuning space of attention on a GPU, as data, and the choice made without tuning. Pure functions of the problem
//! and of the device's limits.

use std::{cmp::Reverse, fmt};

use dustin_kernels::{
    attention::smem::MAX_CLUSTER,
    registry::{ATTENTION, AttentionVariant},
};

use crate::{
    attention::{
        launch::{AttentionPlan, Merge, Splits, chunks, shared_bytes},
        problem::AttentionProblem,
    },
    error::InvalidInput,
    limits::{DeviceLimits, Reason},
};

/// The numbers of splits that are tried.
pub const SPLITS: [u32; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32];

/// The least tokens of which half take longer than a merge in memory does.
const HALVED_TOKENS: u32 = 1024;

/// One point of the space.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The kernel.
    pub variant: &'static AttentionVariant,
    /// How each sequence's tokens are divided.
    pub splits: Splits,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.variant.id == other.variant.id && self.splits == other.splits
    }
}

impl Eq for Candidate {}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} splits={}", self.variant.id, self.splits.count)?;
        match self.splits.merge {
            Merge::Memory => Ok(()),
            Merge::Cluster => write!(f, " cluster={}", self.splits.count),
        }
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
        for splits in divisions(variant) {
            let candidate = Candidate { variant, splits };
            match exclusion(problem, limits, candidate) {
                None => legal.push(candidate),
                Some(reason) => excluded.push(Exclusion { candidate, reason }),
            }
        }
    }
    Ok((legal, excluded))
}

/// The choice made without tuning.
///
/// * Where the device has a multiprocessor for each block of 16 query columns, and a set is few steps: these, if there are tiles of
///   them with 12 warps. A small batch takes as long as its longest chain of look-ups and steps, which so many teams make short; that up
///   to four chunks read tokens again costs little.
/// * Else the fewest chunks, warpgroups where the device has them and less than half of their columns idle, in them the fewest idle
///   columns, launches that overlap. Where there are more blocks than multiprocessors, tiles of which as many fit one as it gets: their
///   starts and ends hide behind each other's work. Then 12 warps, or 16 where a sequence has at least 1,024 tokens, and steps of 32
///   tokens where a team has eight of them.
/// * As many splits as give every multiprocessor a block; two of them, as a cluster, where the tile can, and none where two would
///   leave each a few hundred tokens, which take no longer than their merge in memory.
///
/// So it was fastest, or close to it, on an NVIDIA H200 in every workload measured.
///
/// # Errors
/// The problem is invalid, or no variant runs on the device.
pub fn default_candidate(
    problem: &AttentionProblem,
    limits: &DeviceLimits,
) -> Result<Candidate, InvalidInput> {
    problem.validate()?;
    let fits = |variant: &&'static AttentionVariant| {
        exclusion(problem, limits, Candidate { variant, splits: 1.into() }).is_none()
    };
    let blocks = |variant: &AttentionVariant| {
        let heads = problem.scheduled_batch().saturating_mul(problem.kv.kv_heads);
        heads.saturating_mul(chunks(problem, variant))
    };
    let preference = |variant: &&'static AttentionVariant| {
        let tile = variant.tile;
        let turns = blocks(variant).div_ceil(limits.sm_count.max(1));
        let few = problem.confirmed_capacity() <= 4 * tile.tokens() && chunks(problem, variant) <= 4;
        let narrow = tile.columns == 1 && tile.warps() >= 12 && turns <= 1 && few;
        // A multiprocessor has a KiB more than it gives one block, and each block takes one more than it asks for.
        let room = limits.shared_bytes_per_block.saturating_add(1024) / (variant.shared().bytes + 1024);
        let neighbours = tile.blocks(variant.head_dim).min(room).min(turns);
        let groups = if problem.confirmed_capacity() < 8 * 32 * tile.teams { 1 } else { 2 };
        let warps = if problem.confirmed_capacity() < 1024 { 12 } else { 16 };
        let shape =
            (tile.warps().abs_diff(warps), Reverse(tile.warps()), tile.groups.abs_diff(groups), tile.stages);
        let chunks = chunks(problem, variant);
        let busy = problem.rows.saturating_mul(problem.group()).div_ceil(chunks.max(1));
        let by_groups = tile.wgmma && 2 * busy > tile.query_columns();
        let columns = (Reverse(narrow), chunks, Reverse(by_groups), tile.columns);
        (columns, Reverse(tile.overlaps), Reverse(neighbours), shape, variant.id)
    };
    let Some(variant) = variants(problem).filter(fits).min_by_key(preference) else {
        let required = format!("a variant of {:?} and head_dim {}", problem.dtype, problem.kv.head_dim);
        let excluded = |variant| exclusion(problem, limits, Candidate { variant, splits: 1.into() });
        let reasons = variants(problem).filter_map(excluded);
        return Err(InvalidInput::no_variant("paged attention", required, reasons));
    };
    let tokens = problem.confirmed_capacity().saturating_add(problem.rows);
    let wanted = (limits.sm_count / blocks(variant)).clamp(1, tokens.div_ceil(variant.tile.tokens()));
    let splits = match SPLITS.into_iter().rfind(|&splits| splits <= wanted).unwrap_or(1) {
        1 => 1.into(),
        _ if variant.tile.clusters(variant.head_dim) => Splits::of_cluster(2),
        2 if tokens < HALVED_TOKENS => 1.into(),
        splits => splits.into(),
    };
    Ok(Candidate { variant, splits })
}

/// The ways to divide sequences that are tried with `variant`.
fn divisions(variant: &AttentionVariant) -> impl Iterator<Item = Splits> {
    let of_clusters =
        SPLITS.into_iter().filter(|count| (2..=MAX_CLUSTER).contains(count)).map(Splits::of_cluster);
    SPLITS
        .into_iter()
        .map(Splits::from)
        .chain(of_clusters.filter(|_| variant.tile.clusters(variant.head_dim)))
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
) -> Option<Reason> {
    let variant = candidate.variant;
    limits
        .excludes(variant.target)
        .or_else(|| limits.exceeded(shared_bytes(variant, candidate.splits), variant.tile.threads()))
        .or_else(|| AttentionPlan::new(problem, variant, candidate.splits).err().map(Reason::from))
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Dtype;

    use super::*;
    use crate::{
        attention::problem::{Confirmed, Mask, Sets},
        kv::{KvLayout, PagedKv},
    };

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
            confirmed: Confirmed::Sets(Sets::of_positions(512)),
            query_heads: 64,
            kv: PagedKv::dense(KvLayout::Nhd, 100, 16, 8, head_dim),
            table_width: 2049,
            dtype,
            mask: Mask::Causal,
            lse: false,
            batch_invariant: false,
        }
    }

    #[test]
    fn every_problem_has_at_least_200_legal_points_and_24_tiles() {
        for dtype in [Dtype::Bf16, Dtype::F16] {
            for head_dim in [64, 128] {
                let (legal, _) = candidates(&problem(1, dtype, head_dim), &H200).unwrap();
                assert!(legal.len() >= 200, "{} points", legal.len());
                let tiles: std::collections::HashSet<_> = legal.iter().map(|c| c.variant.tile).collect();
                assert!(tiles.len() >= 24, "{} tiles", tiles.len());
            }
        }
    }

    #[test]
    fn what_the_device_cannot_run_is_excluded_with_the_limit_that_it_exceeds() {
        let small = DeviceLimits { shared_bytes_per_block: 99 << 10, ..H200 };
        let (legal, excluded) = candidates(&problem(1, Dtype::Bf16, 128), &small).unwrap();
        assert!(legal.iter().all(|c| shared_bytes(c.variant, c.splits) <= 99 << 10));
        assert!(!excluded.is_empty());
        assert!(excluded.iter().all(|e| e.reason.to_string().contains("shared memory per block of 101376")));

        let old = DeviceLimits { major: 7, minor: 5, ..H200 };
        let (legal, excluded) = candidates(&problem(1, Dtype::Bf16, 128), &old).unwrap();
        assert!(legal.is_empty());
        assert!(
            excluded.iter().all(|e| e.reason.to_string().ends_with("does not run on compute capability 7.5"))
        );
        assert_eq!(default_candidate(&problem(1, Dtype::Bf16, 128), &old).unwrap_err().field, "device");
    }

    fn default_of(problem: &AttentionProblem) -> Candidate {
        let candidate = default_candidate(problem, &H200).unwrap();
        assert!(candidates(problem, &H200).unwrap().0.contains(&candidate));
        candidate
    }

    #[test]
    fn the_default_wastes_no_columns_where_the_device_is_full() {
        let full = default_of(&problem(16, Dtype::Bf16, 128));
        assert_eq!((full.variant.id, full.splits), ("attention_bf16_d128_c4_t3_n2_s3_wgmma", 1.into()));
        let rows = AttentionProblem { rows: 8, total_rows: 128, ..problem(16, Dtype::Bf16, 128) };
        let columns = default_of(&rows).variant.tile;
        assert_eq!((columns.columns, columns.wgmma), (4, true));
        let crowded = default_of(&problem(64, Dtype::Bf16, 128)).variant;
        assert_eq!((crowded.tile.columns, crowded.tile.blocks(128)), (4, 4));
        let old = DeviceLimits { major: 8, ..H200 };
        let old = default_candidate(&problem(16, Dtype::Bf16, 128), &old).unwrap();
        assert_eq!(old.variant.id, "attention_bf16_d128_c3_t4_n1_s3");
    }

    #[test]
    fn the_default_gives_a_small_batch_a_block_for_16_columns_and_splits() {
        for (batch, splits) in [(1, Splits::of_cluster(2)), (2, Splits::of_cluster(2)), (4, 1.into())] {
            let small = default_of(&problem(batch, Dtype::Bf16, 128));
            assert_eq!(
                (small.variant.id, small.splits),
                ("attention_bf16_d128_c1_t12_n1_s2_overlap", splits)
            );
        }
        let eight = default_of(&problem(8, Dtype::Bf16, 128));
        assert_eq!((eight.variant.tile.columns, eight.splits), (4, 1.into()));
    }

    #[test]
    fn the_default_reads_tokens_once_where_sets_are_large_or_rows_many() {
        let confirmed = Confirmed::Sets(Sets::of_positions(2048));
        let large = AttentionProblem { confirmed, ..problem(4, Dtype::Bf16, 128) };
        let large = default_of(&large);
        assert_eq!((large.variant.tile.columns, large.splits), (4, 4.into()));
        let tree = AttentionProblem { rows: 64, total_rows: 64, ..problem(1, Dtype::Bf16, 128) };
        assert_eq!(default_of(&tree).variant.tile.columns, 8);
        let whole = AttentionProblem { confirmed: Confirmed::Everything, ..problem(1, Dtype::Bf16, 128) };
        let whole = default_of(&whole);
        assert_eq!((whole.variant.tile.warps(), whole.splits), (16, 16.into()));
    }

    #[test]
    fn the_default_keeps_to_what_the_device_has() {
        let default = |limits: DeviceLimits, batch| {
            let problem = problem(batch, Dtype::Bf16, 128);
            let candidate = default_candidate(&problem, &limits).unwrap();
            assert!(candidates(&problem, &limits).unwrap().0.contains(&candidate));
            candidate.variant.tile
        };
        let a100 = DeviceLimits { major: 8, sm_count: 108, shared_bytes_per_block: 163 << 10, ..H200 };
        for batch in [1, 16, 64] {
            let tile = default(a100, batch);
            assert_eq!((tile.columns, tile.overlaps), (3, false), "batch {batch}");
        }
        let later = default(DeviceLimits { major: 10, ..H200 }, 16);
        assert_eq!((later.overlaps, later.wgmma), (true, false));
        default(DeviceLimits { sm_count: 0, ..H200 }, 16);
    }

    #[test]
    fn the_default_takes_steps_of_32_tokens_where_a_set_is_many_of_them() {
        let groups = |set_capacity| {
            let confirmed = Confirmed::Sets(Sets::of_positions(set_capacity));
            let problem = AttentionProblem { confirmed, ..problem(16, Dtype::Bf16, 128) };
            // Warpgroups have such steps alone.
            let later = DeviceLimits { major: 10, ..H200 };
            default_candidate(&problem, &later).unwrap().variant.tile.groups
        };
        assert_eq!([0, 64, 512, 1024, 4096].map(groups), [1, 1, 1, 2, 2]);
    }
}
