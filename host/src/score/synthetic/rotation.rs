//! Inputs that take turns, so that every launch of a series finds its keys in memory and not in the cache.

use crate::score::problem::ScoreProblem;

/// Inputs that a series needs for each to return only after twice `l2_bytes` have been read: one where a launch reads that
/// much by itself.
#[must_use]
pub fn turns(problem: &ScoreProblem, l2_bytes: u64) -> u32 {
    let (between, bytes) = (2 * l2_bytes, problem.bytes().max(1));
    let inputs = if bytes >= between { 1 } else { between.div_ceil(bytes) + 1 };
    u32::try_from(inputs).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Dtype;

    use super::*;
    use crate::{
        kv::{KvLayout, PagedKv},
        score::problem::Source,
    };

    #[test]
    fn keys_return_after_twice_the_cache() {
        const L2: u64 = 60 << 20;
        for batch in [1, 3, 4, 16] {
            let problem = ScoreProblem {
                batch,
                map_capacity: batch << 15,
                tokens: 1,
                slots: batch,
                query_heads: 64,
                kv: PagedKv::dense(KvLayout::Nhd, batch << 11, 16, 8, 128),
                table_width: 2048,
                dtype: Dtype::Bf16,
                sources: Source::mean(&[&[0, 1, 2, 3]], 1),
                accumulate: false,
            };
            let inputs = u64::from(turns(&problem, L2));
            let between = if inputs == 1 { problem.bytes() } else { (inputs - 1) * problem.bytes() };
            assert!(between >= 2 * L2, "{batch}: {inputs}");
            assert_eq!(turns(&problem, 0), 1);
        }
    }
}
