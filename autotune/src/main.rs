//! The `autotune` command.
#![allow(dead_code)]
mod search;
mod args;
mod console;
mod outcome;
mod resolve;
mod workload;
fn main() {}
