//! The problem that is measured for a bucket.

use dustin::{
    attention::problem::AttentionProblem,
    kv::PagedKv,
    profile::{AttentionKey, IndexSet, KernelKey, Key, bucket},
};
use dustin_autotune::workload::Problem;

/// The problem that stands for a bucket, and the confirmed tokens of each of its sequences: capacities at their upper ends. Of a
/// key whose capacities are not rounded up, the problem that has them.
pub(crate) fn representative(key: &Key) -> (Problem, u32) {
    match &key.kernel {
        KernelKey::SparseAttention(key) => {
            let (problem, context) = attention(key);
            (Problem::Attention(problem), context)
        }
        KernelKey::SrhScore(key) => {
            let problem = key.problem();
            let context = problem.map_capacity / problem.batch.max(1);
            (Problem::Score(problem), context)
        }
        KernelKey::Selection(key) => {
            let problem = key.problem();
            let context = problem.map_capacity / problem.batch.max(1);
            (Problem::Select(problem), context)
        }
    }
}

/// Bytes that the problem that stands for a bucket must move at the least. The key must be valid.
pub(crate) fn bytes(key: &Key) -> u64 {
    representative(key).0.bytes()
}

/// Contexts at the lower end of the length class, which a gather hardly notices, so that the caches fit smaller devices.
fn attention(key: &AttentionKey) -> (AttentionProblem, u32) {
    let pages = |tokens: u32| tokens.div_ceil(key.page_size.max(1)).max(1);
    let half = key.length_class / 2;
    let longest = key.length_class.saturating_sub(key.rows);
    let everything = key.index_set == IndexSet::Everything;
    let fits = |context: u32| {
        (everything || context >= key.set_capacity)
            && bucket::length_class(u64::from(pages(context + key.rows)) * u64::from(key.page_size))
                == key.length_class
    };
    let context = if fits(half) { half } else { longest };
    let table_width = pages(context.saturating_add(key.rows));
    let batch = key.a_batch();
    let kv_pages = batch.saturating_mul(table_width);
    let problem = AttentionProblem {
        batch,
        rows: key.rows,
        total_rows: batch.saturating_mul(key.rows),
        confirmed: key.confirmed(table_width.saturating_mul(key.page_size)),
        query_heads: key.query_heads,
        kv: PagedKv::dense(key.layout, kv_pages, key.page_size, key.kv_heads, key.head_dim),
        table_width,
        dtype: key.dtype,
        mask: key.mask,
        lse: key.lse,
        batch_invariant: key.batch == AttentionKey::EVERY_BATCH,
    };
    (problem, context)
}

#[cfg(test)]
mod tests {
    use dustin::{
        attention::problem::{Confirmed, Mask, Sets},
        profile::{DeviceId, Policy},
    };
    use dustin_autotune::workload;

    use super::*;

    fn key_of(problem: &Problem) -> Key {
        Key::of(problem, &DeviceId::cpu("any"), Policy::default())
    }

    #[test]
    fn a_built_in_workload_stands_for_its_own_bucket() {
        for (name, ..) in workload::built_in() {
            let workload = workload::named(name).unwrap();
            let (problem, context) = representative(&key_of(&workload.problem));
            assert_eq!(context, workload.context(), "{name}");
            assert_eq!(problem.validate(), Ok(()), "{name}");
            assert_eq!(problem.bytes(), workload.problem.bytes(), "{name}");
            assert_eq!(key_of(&problem), key_of(&workload.problem), "{name}");
            if matches!(problem, Problem::Attention(_)) {
                assert_eq!(problem, workload.problem, "{name}");
            }
        }
    }

    #[test]
    fn the_problem_that_stands_for_a_bucket_is_valid_and_in_it() {
        for page_size in [1, 16, 256] {
            for (batch, rows, k, tokens) in
                [(5, 7, 100, 700), (1, 1, 1, 2), (3, 64, 60, 65), (16, 9, 4000, 5000)]
            {
                let table_width = u32::div_ceil(tokens, page_size);
                let problem = AttentionProblem {
                    batch,
                    rows,
                    total_rows: batch * rows,
                    confirmed: Confirmed::Sets(Sets::of_positions(k)),
                    query_heads: 8,
                    kv: PagedKv::dense(dustin::kv::KvLayout::Nhd, batch * table_width, page_size, 2, 64),
                    table_width,
                    dtype: dustin::Dtype::Bf16,
                    mask: Mask::Causal,
                    lse: false,
                    batch_invariant: false,
                };
                problem.validate().unwrap();
                let key = AttentionKey::from(&problem);
                let (stands, context) = attention(&key);
                let case = format!("page {page_size}, k {k}, {tokens} tokens: {stands:?}");
                assert_eq!(stands.validate(), Ok(()), "{case}");
                assert_eq!(AttentionKey::from(&stands), key, "{case}");
                assert!(context + stands.rows <= stands.table_width * page_size, "{case}");
            }
        }
    }
}
