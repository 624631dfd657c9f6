//! What the `autotune` command shares with the benchmarks: the workloads.

pub mod workload;
