//! The C ABI on the CPU gives what the library gives, bit for bit.
//!
//! | file | what it tests |
//! |---|---|
//! | `operations` | each operation, on random problems |
//! | `steps` | whole steps of the verifier |
//! | `refusals` | handles, arrays and numbers that the verifier's stages refuse |
//! | `threads` | several threads at once, and handles that are destroyed meanwhile |

mod operations;
mod refusals;
mod steps;
mod threads;
