//! The vocabulary of device operations that kernels are written against: one file per hardware facility,
//! each operation a thin wrapper named after what the instruction does.
//!
//! Compiled for the GPU an operation is its PTX instruction. Compiled for the host it is a call into the
//! [`executor`](crate::executor), which runs the same kernel source and checks every access.
//! On the host every operation carries its caller's source line, so that a report names the line of the kernel.
//!
//! Operations that touch memory are `unsafe`: the caller promises that the address lies in an allocation that
//! outlives the launch and that the access is aligned to its size. The executor checks that promise.
//!
//! Operations that only exchange registers (shuffles, matrix products) are safe functions although all 32 lanes must
//! take part: where lanes are missing, the values are unspecified, but no memory is touched. The executor reports it.

pub mod atomic;
pub mod barrier;
pub mod bulk;
pub mod cache;
pub mod cluster;
pub mod cp_async;
pub mod element;
pub mod fence;
pub mod global;
pub mod grid;
pub mod ldmatrix;
pub mod math;
pub mod mbarrier;
pub mod mma;
pub mod redux;
pub mod shared;
pub mod shuffle;
pub mod thread;
pub mod vote;
pub mod wgmma;
pub mod word;

pub use cache::CachePolicy;
pub use cluster::Remote;
pub use element::{Bf16, Element, F16};
pub use global::Global;
pub use mbarrier::Mbarrier;
pub use shared::Shared;
pub use wgmma::{Wgmma, WgmmaShared};
pub use word::Word;

/// Lanes in a warp.
pub const WARP: u32 = 32;
