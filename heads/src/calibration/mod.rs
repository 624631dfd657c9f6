//! Calibration captures, as `docs/calibration.md` lays them out.
//!
//! [`Capture::open`] maps a single file or the shards that an index names, and refuses what the layout does not allow, but for
//! what only reading all of it would show: numbers that are not finite are found when a tensor is read, altered shards by
//! [`Capture::check_digests`].
//!
//! `metadata` is what the capture says of itself, `check` what must hold of it, `file` one mapped file, `source` the files together,
//! `tensor` items of a tensor, `capture` all of it.

mod capture;
mod check;
mod error;
mod file;
mod metadata;
mod source;
mod tensor;

pub use self::{
    capture::{Capture, Layer},
    error::CalibrationError,
    metadata::{Continuation, Element, Metadata, Model, ModelRole, Prompt, PromptRole, Ranking, VERSION},
    tensor::Tensor,
};

/// The name of the metadata entry that makes a safetensors file a capture.
pub const METADATA: &str = "dustin.calibration";

/// The name of a sharded capture's index in its folder.
pub const INDEX: &str = "calibration.safetensors.index.json";

#[cfg(test)]
mod tests;
