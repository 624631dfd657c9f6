//! Problems of one short sequence, which the reference judges in a moment: the problem and the sequence's length.

use dustin::{
    attention::problem::{AttentionProblem, Confirmed},
    kv::PagedKv,
    score::problem::ScoreProblem,
    select::problem::SelectProblem,
};

/// The most tokens that scores are checked over.
const SCORED: u32 = 2048;

/// The most tokens that attention is checked over where all are read.
const READ: u32 = 1024;

/// One sequence of `problem`, no longer than twice its set; a short one where all of it is read.
pub(crate) fn attention(problem: &AttentionProblem, context: u32) -> (AttentionProblem, u32) {
    let everything = problem.confirmed == Confirmed::Everything;
    let context = context.min(if everything { READ } else { 2 * problem.confirmed_capacity() });
    let pages = (context + problem.rows).div_ceil(problem.kv.page_size);
    let kv = PagedKv { pages, ..problem.kv };
    let small = AttentionProblem { batch: 1, total_rows: problem.rows, kv, table_width: pages, ..*problem };
    (small, context)
}

/// One sequence of `problem`, of all its sources.
pub(crate) fn score(problem: &ScoreProblem, context: u32) -> (ScoreProblem, u32) {
    let context = context.min(SCORED);
    let kv = PagedKv { pages: context.div_ceil(problem.kv.page_size), ..problem.kv };
    let small = ScoreProblem { batch: 1, slots: 1, map_capacity: context, kv, ..problem.clone() };
    (small, context)
}

/// One sequence of `problem`, four times as long as its set.
pub(crate) fn select(problem: &SelectProblem, context: u32) -> (SelectProblem, u32) {
    let context = context.min(4 * problem.budget);
    (SelectProblem { batch: 1, map_capacity: context, ..*problem }, context)
}

#[cfg(test)]
mod tests {
    use dustin_autotune::workload::{self, Problem};

    use super::*;

    #[test]
    fn every_default_workload_has_a_small_problem_to_be_checked_on() {
        for workload in [true, false].into_iter().flat_map(|gpu| workload::defaults(gpu).unwrap()) {
            let context = workload.context();
            let (small, context) = match &workload.problem {
                Problem::Attention(problem) => {
                    let (small, context) = attention(problem, context);
                    assert_eq!(small.confirmed, problem.confirmed);
                    (Problem::Attention(small), context)
                }
                Problem::Score(problem) => {
                    let (small, context) = score(problem, context);
                    (Problem::Score(small), context)
                }
                Problem::Select(problem) => {
                    let (small, context) = select(problem, context);
                    (Problem::Select(small), context)
                }
            };
            assert_eq!(small.validate(), Ok(()), "{}", workload.name);
            assert!(context <= 4096 && small.bytes() <= workload.problem.bytes(), "{}", workload.name);
        }
    }
}
