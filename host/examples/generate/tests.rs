//! Nothing is lost, and what would lose is found.

use super::*;

fn args(seed: u64) -> Args {
    let line = format!("generate --prompt 70 --tokens 40 --gamma 3 --draws 2500 --seed {seed}");
    Args::parse_from(line.split(' '))
}

#[test]
fn greedy_speculation_over_the_whole_context_gives_the_tokens_of_plain_decoding() {
    for (seed, dtype) in [(0, Dtype::Bf16), (1, Dtype::F16), (2, Dtype::Bf16)] {
        let args = Args { dtype, ..args(seed) };
        let generation = Generation::new(&args);
        let plain = generation.plain(&args).unwrap();
        for tree in [false, true] {
            let decoded = generation.decode(&args, tree, None, library).unwrap();
            assert_eq!(decoded.tokens, plain, "seed {seed}, tree {tree}");
            assert!(decoded.accepted > 0 && decoded.steps < 40, "seed {seed}: nothing was accepted");
            assert_eq!(decoded.read, decoded.confirmed);
        }
    }
}

#[test]
fn a_smaller_budget_reads_less_and_may_give_other_tokens() {
    let args = args(0);
    let generation = Generation::new(&args);
    let decoded = generation.decode(&args, false, Some(8), library).unwrap();
    assert_eq!(decoded.read, 8 * decoded.steps);
    assert_ne!(decoded.tokens, generation.plain(&args).unwrap());
}

#[test]
fn greedy_acceptance_that_keeps_every_draft_gives_other_tokens() {
    let args = args(0);
    let generation = Generation::new(&args);
    for tree in [false, true] {
        let decoded = generation.decode(&args, tree, None, keeps_all).unwrap();
        assert_ne!(decoded.tokens, generation.plain(&args).unwrap(), "tree {tree}");
    }
}

#[test]
fn sampled_tokens_are_distributed_as_the_targets() {
    for tree in [false, true] {
        let laws = counted(&args(0), tree, library).unwrap();
        assert!(laws.iter().all(law::ChiSquare::holds), "tree {tree}: {laws:?}");
    }
}

#[test]
fn sampled_tokens_of_broken_acceptances_are_found_out() {
    for judge in [without_residual as Judge, keeps_all] {
        let [first, _] = counted(&args(0), false, judge).unwrap();
        assert!(first.statistic > 2.0 * first.bound, "{first:?}");
    }
}
