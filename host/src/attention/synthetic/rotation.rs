//! Inputs that take turns, so that every launch of a series finds its tokens in memory and not in the cache.

use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

use crate::attention::problem::AttentionProblem;

/// How many caches and sets a series needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// KV caches.
    pub caches: u32,
    /// Disjoint sets in each cache.
    pub sets: u32,
}

impl Rotation {
    /// Enough that a set returns only after the launches in between have read twice `l2_bytes`. A cache gives as
    /// many sets as are disjoint in sequences of `context` tokens; beyond that there are more caches. Where there are no sets, as many
    /// caches as are four times that size: what is read in order returns after all of it.
    #[must_use]
    pub fn new(problem: &AttentionProblem, context: u32, l2_bytes: u64) -> Self {
        if problem.sets().is_none() {
            let caches = (4 * l2_bytes).div_ceil(problem.bytes().max(1)).max(1);
            return Self { caches: u32::try_from(caches).unwrap_or(u32::MAX), sets: 1 };
        }
        let wanted = (2 * l2_bytes).div_ceil(problem.bytes().max(1)) + 1;
        let disjoint = u64::from(context / problem.confirmed_capacity().max(1)).max(1);
        let sets = wanted.min(disjoint);
        let caches = wanted.div_ceil(sets);
        Self {
            caches: u32::try_from(caches).unwrap_or(u32::MAX),
            sets: u32::try_from(sets).unwrap_or(u32::MAX),
        }
    }

    /// Launches until the first input returns.
    #[must_use]
    pub const fn launches(self) -> u32 {
        self.caches * self.sets
    }
}

/// `count` times the sets of positions of the problem, `[batch, sets, capacity]` each, ascending, disjoint where the context
/// allows it. Entries beyond the context are -1; the set's size leaves them out.
#[must_use]
pub fn disjoint_sets(problem: &AttentionProblem, context: u32, count: u32, seed: u64) -> Vec<Vec<i32>> {
    if problem.sets().is_none() {
        return Vec::new();
    }
    let k = problem.confirmed_capacity() as usize;
    let batch = problem.batch as usize * problem.sets_per_sequence() as usize;
    let size = k.min(context as usize);
    let mut sets = vec![vec![-1; batch * k]; count as usize];
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut positions: Vec<i32> = (0..context as i32).collect();
    for sequence in 0..batch {
        positions.shuffle(&mut rng);
        let mut shares = positions.chunks_exact(size.max(1)).cycle();
        for set in &mut sets {
            let own = &mut set[sequence * k..][..size];
            own.copy_from_slice(&shares.next().unwrap_or_default()[..size]);
            own.sort_unstable();
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Dtype;

    use super::*;
    use crate::{
        attention::problem::{Confirmed, Mask, Sets},
        kv::{KvLayout, PagedKv},
    };

    const H200_L2: u64 = 60 << 20;

    /// Qwen2.5-72B, 5 rows and 512 positions of 32,768 tokens for each sequence.
    fn problem(batch: u32) -> AttentionProblem {
        AttentionProblem {
            batch,
            rows: 5,
            total_rows: 5 * batch,
            confirmed: Confirmed::Sets(Sets::of_positions(512)),
            query_heads: 64,
            kv: PagedKv::dense(KvLayout::Nhd, batch * 2049, 16, 8, 128),
            table_width: 2049,
            dtype: Dtype::Bf16,
            mask: Mask::Causal,
            lse: false,
            batch_invariant: false,
        }
    }

    #[test]
    fn a_set_returns_after_twice_the_cache() {
        for batch in [1, 4, 16, 64] {
            for context in [100, 8192, 32_768] {
                let rotation = Rotation::new(&problem(batch), context, H200_L2);
                let between = u64::from(rotation.launches() - 1) * problem(batch).bytes();
                assert!(between >= 2 * H200_L2, "{batch} x {context}: {rotation:?}");
            }
        }
    }

    #[test]
    fn sixteen_long_sequences_need_one_cache() {
        assert_eq!(Rotation::new(&problem(16), 32_768, H200_L2), Rotation { caches: 1, sets: 5 });
        assert_eq!(Rotation::new(&problem(16), 32_768, 0).launches(), 1);
    }

    #[test]
    fn sets_are_disjoint_ascending_and_inside_the_context() {
        let sets = disjoint_sets(&problem(4), 4096, 8, 3);
        for sequence in 0..4 {
            let mut seen: Vec<i32> = Vec::new();
            for set in &sets {
                let own = &set[sequence * 512..][..512];
                assert!(own.is_sorted_by(|a, b| a < b));
                seen.extend(own);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..4096).collect::<Vec<i32>>());
        }
    }

    #[test]
    fn a_context_shorter_than_the_budget_gives_the_whole_sequence() {
        for set in disjoint_sets(&problem(1), 100, 2, 3) {
            assert_eq!(set[..100], (0..100).collect::<Vec<i32>>());
            assert!(set[100..].iter().all(|&position| position == -1));
        }
        assert!(disjoint_sets(&problem(1), 0, 1, 3)[0].iter().all(|&position| position == -1));
    }
}
