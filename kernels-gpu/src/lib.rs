//! Dustin's GPU kernels, written once and compiled three ways.
//!
//! * For `nvptx64-nvidia-cuda` this crate is device code: every kernel variant becomes one PTX entry.
//! * For the host the same kernel source runs on the [`executor`], which checks it lane by lane.
//! * For the host it is also the [`registry`] of variants, with the checked-in PTX embedded.
//!
//! Kernels are written against [`simt`], the vocabulary of device operations, and touch memory only through it.
#![cfg_attr(target_arch = "nvptx64", no_std)]
#![cfg_attr(target_arch = "nvptx64", feature(abi_ptx, asm_experimental_arch, stdarch_nvptx))]

pub mod simt;

pub mod accept;
pub mod attention;
pub mod cache;
pub mod fault;
pub mod probes;
pub mod score;
pub mod select;

#[cfg(not(target_arch = "nvptx64"))]
pub mod executor;
#[cfg(not(target_arch = "nvptx64"))]
pub mod registry;

#[cfg(target_arch = "nvptx64")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    simt::thread::trap()
}
