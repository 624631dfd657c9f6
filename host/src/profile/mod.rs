//! Tuned profiles: the schema, the tuning key, distances and the order of fallbacks.
//!
//! A profile is one TOML file. Tuning fills it ([`Entry::measured`], [`Profile::put`], [`write()`]); whoever launches
//! kernels asks it:
//!
//! 1. [`read()`] gives a [`Profile`] and warnings; only a file that is no profile at all is an error.
//! 2. [`Tuned::new`] keeps the entries whose variant id, revision, PTX digest and launch parameters are valid in this
//!    build; each of the others is a warning. A legal edit by hand is kept and flagged.
//! 3. [`Key::of`] names the bucket of a problem, and [`Tuned::find`] gives the choice for it with its [`Source`]:
//!    exact, near, another GPU of the same compute capability, or the built-in default.
//!
//! Each file holds one idea: `key` what a choice is tuned for, kernel by kernel, [`bucket`] the ranges that share a choice, [`distance`]
//! how far buckets are apart, `schema` the contents of the file, `selection` those of head selections, `certificate` what tells measured entries from
//! edited ones, `provenance` what has changed since, `catalogue` the variants that exist (`gpu` and `cpu`: those of a device),
//! `validate` what must hold of an entry, `lookup` the order of fallbacks, `text` the TOML, `store` the file.

pub mod bucket;
pub mod distance;

mod catalogue;
mod certificate;
mod cpu;
mod error;
mod gpu;
mod key;
mod lookup;
mod provenance;
mod schema;
mod selection;
mod store;
mod text;
mod validate;

pub use catalogue::{Catalogue, Known};
pub use cpu::CpuCatalogue;
pub use error::{Problem, ProfileError, Warning};
pub use gpu::GpuCatalogue;
pub use key::{
    AttentionKey, CacheState, ComputeCapability, DeviceId, IndexSet, Kernel, KernelKey, Key, KvDtype,
    KvScale, LaunchMode, Policy, ScoreKey, SelectKey,
};
pub use lookup::{Found, Source, Tuned};
pub use schema::{Choice, Entry, Launch, Measurement, Profile, Provenance, SCHEMA_VERSION, Timed, Unread};
pub use selection::{
    EstimationCost, HeldOut, LayerHeads, Objective, Recovery, Selection, SelectionProvenance,
};
pub use store::{read, write};
pub use text::{Read, parse, render};
