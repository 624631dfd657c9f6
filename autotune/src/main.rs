//! The `autotune` command.
mod search;
fn main() {}
