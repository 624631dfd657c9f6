//! Inputs that take turns, so that every launch of a series finds its tokens in memory and not in the cache.

use dustin::problem::AttentionProblem;
use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

/// How many caches and sets a series needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// KV caches.
    pub(crate) caches: u32,
    /// Disjoint sets in each cache.
    pub(crate) sets: u32,
}

impl Rotation {
    /// Enough that a set returns only after the launches in between have read twice `l2_bytes`. A cache gives as
    /// many sets as are disjoint in sequences of `context` tokens; beyond that there are more caches.
    pub(crate) fn new(problem: &AttentionProblem, context: u32, l2_bytes: u64) -> Self {
        let wanted = (2 * l2_bytes).div_ceil(problem.bytes().max(1)) + 1;
        let disjoint = u64::from(context / problem.set_capacity.max(1)).max(1);
        let sets = wanted.min(disjoint);
        let caches = wanted.div_ceil(sets);
        Self {
            caches: u32::try_from(caches).unwrap_or(u32::MAX),
            sets: u32::try_from(sets).unwrap_or(u32::MAX),
        }
    }

    /// Launches until the first input returns.
    pub(crate) const fn len(self) -> u32 {
        self.caches * self.sets
    }
}

/// `count` sets of the problem, `[batch, set_capacity]` each, ascending, disjoint where the context allows it.
/// Entries beyond the context are -1; the set's size leaves them out.
pub(crate) fn disjoint_sets(
    problem: &AttentionProblem,
    context: u32,
    count: u32,
    seed: u64,
) -> Vec<Vec<i32>> {
    let (batch, k) = (problem.batch as usize, problem.set_capacity as usize);
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
    use super::*;
    use crate::workload::named;

    const H200_L2: u64 = 60 << 20;

    #[test]
    fn a_set_returns_after_twice_the_cache() {
        for (name, ..) in crate::workload::built_in() {
            let workload = named(name).unwrap();
            let rotation = Rotation::new(&workload.problem, workload.shape.context, H200_L2);
            let between = u64::from(rotation.len() - 1) * workload.problem.bytes();
            assert!(between >= 2 * H200_L2, "{name}: {rotation:?}");
        }
    }

    #[test]
    fn the_headline_workload_needs_one_cache() {
        let workload = named("w1").unwrap();
        assert_eq!(Rotation::new(&workload.problem, 32_768, H200_L2), Rotation { caches: 1, sets: 5 });
        assert_eq!(Rotation::new(&workload.problem, 32_768, 0).len(), 1);
    }

    #[test]
    fn sets_are_disjoint_ascending_and_inside_the_context() {
        let problem = named("w1-b4").unwrap().problem;
        let sets = disjoint_sets(&problem, 4096, 8, 3);
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
        let problem = named("w1-b1").unwrap().problem;
        let sets = disjoint_sets(&problem, 100, 2, 3);
        for set in sets {
            assert_eq!(set[..100], (0..100).collect::<Vec<i32>>());
            assert!(set[100..].iter().all(|&position| position == -1));
        }
        assert!(disjoint_sets(&problem, 0, 1, 3)[0].iter().all(|&position| position == -1));
    }
}
