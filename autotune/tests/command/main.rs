//! The command as a user runs it: end to end on the CPU, and on bad input.

mod audit;
mod common;
mod end_to_end;
mod errors;
mod every_batch;
mod explain;
mod faults;
mod heads;
mod heads_errors;
mod locks;
mod profiles;
mod replay;
mod report;
mod resume;
