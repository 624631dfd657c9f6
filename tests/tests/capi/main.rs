//! The C ABI on the CPU gives what the library gives, bit for bit.
//!
//! | file | what it tests |
//! |---|---|
//! | `operations` | each operation, on random problems |
//! | `steps` | whole steps of the verifier |
//! | `threads` | several threads at once, and handles that are destroyed meanwhile |

mod operations;
mod steps;
mod threads;
