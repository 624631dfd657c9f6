//! PTX is made in steps, each a module: [`toolchain`] finds rustc, `opt` and `llc`; [`device_build`] compiles the
//! kernels to one unoptimised LLVM module; [`convergent`] and [`launch_bounds`] annotate it; [`codegen`] makes one PTX
//! file per entry; [`inspect`] and [`ptxas`] check the result; [`manifest`] records it; [`ptx`] is the sequence.
//!
//! [`header`] makes the C header, [`bundle`] packs for machines with a GPU.

pub mod budget;
pub mod bundle;
pub mod codegen;
pub mod convergent;
pub mod device_build;
pub mod freshness;
pub mod header;
pub mod inspect;
pub mod launch_bounds;
pub mod manifest;
pub mod occupancy;
pub mod process;
pub mod ptx;
pub mod ptxas;
pub mod source;
pub mod table;
pub mod toolchain;

use std::path::Path;

/// The repository's root folder.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
