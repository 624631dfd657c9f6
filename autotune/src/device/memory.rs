//! Whether this machine's memory can hold a task's inputs: an allocation that fails would end the process; and how much of it
//! this process has.

use std::fs;

use dustin::{
    attention::problem::AttentionProblem, score::problem::ScoreProblem, select::problem::SelectProblem,
};
use dustin_autotune::workload::Problem;

/// The problem's inputs are larger than what is free.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the inputs take {} of memory, but {} are available: choose a smaller --batch or --context",
    gigabytes(*.required),
    gigabytes(*.available)
)]
pub(crate) struct TooLarge {
    required: u64,
    available: u64,
}

/// Refuses a problem whose inputs do not fit into the memory that is available. Where the system does not tell it,
/// every problem passes.
///
/// # Errors
/// They do not fit.
pub(crate) fn require(problem: &Problem) -> Result<(), TooLarge> {
    let required = bytes(problem);
    match available(&fs::read_to_string("/proc/meminfo").unwrap_or_default()) {
        Some(available) if required > available => Err(TooLarge { required, available }),
        _ => Ok(()),
    }
}

/// Bytes of one input and of what its results are judged by.
pub(crate) fn bytes(problem: &Problem) -> u64 {
    match problem {
        Problem::Attention(problem) => attention(problem),
        Problem::Score(problem) => score(problem),
        Problem::Select(problem) => select(problem),
    }
}

fn product(factors: &[u32]) -> u64 {
    factors.iter().fold(1_u64, |sum, &next| sum.saturating_mul(next.into()))
}

fn attention(problem: &AttentionProblem) -> u64 {
    let AttentionProblem { batch, total_rows, query_heads, kv, table_width, .. } = *problem;
    let caches = kv.extent().saturating_mul(2 * 2);
    let items = product(&[total_rows, query_heads, kv.head_dim]);
    // Queries and outputs of 16 bits; the reference has two f64 for each item of the output.
    let rows = items.saturating_mul(2 + 2 + 8 + 8);
    let entries = u64::from(problem.sets_per_sequence()) * u64::from(problem.confirmed_capacity());
    let indices = product(&[batch, 4]).saturating_mul(u64::from(table_width) + entries);
    caches.saturating_add(rows).saturating_add(indices)
}

fn score(problem: &ScoreProblem) -> u64 {
    let ScoreProblem { batch, map_capacity, slots, kv, table_width, sources, .. } = problem;
    let sources = sources.iter().map(|source| {
        let queries = product(&[*slots, problem.columns(source), kv.head_dim]);
        kv.extent().saturating_add(queries).saturating_mul(2)
    });
    let indices = product(&[*batch, *table_width, 4]);
    // A map before, one behind and one that is judged, and a logit for each column on the CPU; the reference has an f64 and
    // a byte for each position.
    let maps = u64::from(*map_capacity).saturating_mul(3 * 4 + 4 * u64::from(problem.column_capacity()) + 9);
    sources.fold(indices.saturating_add(maps), u64::saturating_add)
}

fn select(problem: &SelectProblem) -> u64 {
    // Two maps; the reference sorts one sequence's positions at a time.
    let maps = u64::from(problem.map_capacity).saturating_mul(2 * 4 + 8);
    let width = problem.table.map_or(0, |table| table.table_width);
    maps.saturating_add(
        product(&[problem.batch, 4]).saturating_mul(u64::from(width) + 4 * u64::from(problem.budget)),
    )
}

/// Bytes of memory that this process has now, where the system tells.
pub(super) fn resident() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The memory that can be had without swapping, in the text of `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    field(meminfo, "MemAvailable:")
}

/// A number of bytes in a text of the kernel's, whose unit is KiB.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use dustin_autotune::workload::named;

    use super::*;

    #[test]
    fn the_system_s_file_is_understood() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    1000 kB\n"), Some(1_024_000));
        assert_eq!((available(""), available("MemAvailable: many kB")), (None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_this_process_has_grows_with_what_it_writes() {
        let before = resident().unwrap();
        let written = vec![1_u8; 64 << 20];
        assert!(resident().unwrap() >= before + (60 << 20), "{}", written.len());
    }

    #[test]
    fn the_estimate_is_close_to_what_an_input_takes() {
        let ratio = |name: &str, taken: f64| bytes(&named(name).unwrap().problem) as f64 / taken;
        let keys = 16.0 * 32_784.0 * 8.0 * 128.0 * 2.0;
        assert!((1.0..1.05).contains(&ratio("w1", 2.0 * keys)));
        assert!((1.0..1.05).contains(&ratio("w1-score", keys)));
        assert!((1.0..3.0).contains(&ratio("w1-select", 2.0 * 4.0 * 16.0 * 32_768.0)));
    }

    #[test]
    fn the_largest_numbers_do_not_wrap() {
        let Problem::Attention(mut attention) = named("w1").unwrap().problem else { panic!("of attention") };
        (attention.batch, attention.table_width, attention.total_rows) = (u32::MAX, u32::MAX, u32::MAX);
        attention.kv.pages = u32::MAX;
        let Problem::Score(mut score) = named("w1-score").unwrap().problem else { panic!("of scoring") };
        (score.batch, score.table_width, score.slots) = (u32::MAX, u32::MAX, u32::MAX);
        score.kv.pages = u32::MAX;
        for problem in [Problem::Attention(attention), Problem::Score(score)] {
            assert!(bytes(&problem) > 1 << 60);
            let told = require(&problem).map_err(|error| error.to_string());
            if cfg!(target_os = "linux") {
                assert!(told.unwrap_err().contains("--batch or --context"));
            }
        }
    }
}
