//! Why something is no capture, or not one that can be used.

use std::{io, path::PathBuf};

use dustin::geometry::ConfigError;

use super::{METADATA, ModelRole, PromptRole, VERSION};
use crate::field::FieldError;

/// Why a capture cannot be used. `file` is the path of the file at fault, or what a capture in memory is called.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The operating system refuses to read it.
    #[error("capture {path}: cannot be read ({source}); check the path and its permissions", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Neither safetensors nor an index.
    #[error("capture {file}: must be safetensors or the index of a sharded capture, but: {message}")]
    Foreign {
        /// The file.
        file: String,
        /// What the parser says.
        message: String,
    },
    /// The file ends before its header or its last tensor does, or goes on behind it.
    #[error(
        "capture {file}: must have {required} bytes, but has {actual}; it was cut or altered: copy it again"
    )]
    Size {
        /// The file.
        file: String,
        /// What its header or the index states.
        required: String,
        /// What it has.
        actual: u64,
    },
    /// The bytes are not those that were written.
    #[error(
        "capture {file}: must have the SHA-256 {required}, but has {actual}; it was altered: copy it again"
    )]
    Digest {
        /// The shard.
        file: String,
        /// What the index states.
        required: String,
        /// What it has.
        actual: String,
    },
    /// A safetensors file of another program.
    #[error(
        "capture {file}: must have the metadata entry {METADATA}, but has none; name a file written by dustin-capture"
    )]
    NoMetadata {
        /// The file.
        file: String,
    },
    /// The metadata entry is not as the layout has it.
    #[error("capture {file}: {METADATA} must be as version {VERSION} of the layout has it, but: {message}")]
    Metadata {
        /// The file.
        file: String,
        /// What the parser says.
        message: String,
    },
    /// It is of another version.
    #[error(
        "capture {file}: version must be {VERSION}, but is {actual}; update this software, or capture again"
    )]
    Version {
        /// The file.
        file: String,
        /// The version that it states.
        actual: u64,
    },
    /// Shards of several captures.
    #[error(
        "capture {file}: must be of capture {required}, as the index, but is of {actual}; copy all shards of one capture"
    )]
    OtherCapture {
        /// The shard.
        file: String,
        /// The capture of the index.
        required: String,
        /// The capture of the shard.
        actual: String,
    },
    /// The embedded `config.json` states no geometry.
    #[error("capture {file}: the {role} model's {source}")]
    Config {
        /// The file.
        file: String,
        /// The model.
        role: ModelRole,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// A model is not the one at hand, but the capture's other model is.
    #[error(
        "capture {file}: the {role} model must be that of {config}, but that is its {other} model; swap the two"
    )]
    Swapped {
        /// The capture.
        file: String,
        /// The model asked for.
        role: ModelRole,
        /// The `config.json` at hand, as the caller names it.
        config: String,
        /// The model that it is of.
        other: ModelRole,
    },
    /// A field of the metadata is out of range or contradicts another.
    #[error("capture {0}")]
    Field(#[from] FieldError),
    /// A tensor that the metadata promises is not there.
    #[error("capture {file}: must have the tensor {tensor}, but has not; capture again")]
    Missing {
        /// The capture.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// Output errors take values.
    #[error(
        "capture {file}: must have values, from which outputs are computed, but has none; capture again with --values"
    )]
    NoValues {
        /// The capture.
        file: String,
    },
    /// A tensor is not of the shape and type that the metadata states.
    #[error("capture {file}: tensor {tensor} must be {required}, but is {actual}")]
    Shape {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its type and shape by the metadata.
        required: String,
        /// Its type and shape.
        actual: String,
    },
    /// NaN or infinity.
    #[error(
        "capture {file}: tensor {tensor} must be finite, but is not at head {head}, position {position}; capture again"
    )]
    NotFinite {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// The outermost index: a row of the tensor's heads, of its prompts if it is a ranking's; 0 if it has no heads.
        head: u64,
        /// The position; of a ranking, the layer.
        position: u64,
    },
    /// No prompt that may be used for the task.
    #[error(
        "capture {file}: must have a {role} prompt, but has none; capture again with more prompts, or other roles"
    )]
    NoPrompt {
        /// The capture.
        file: String,
        /// The role that the task needs.
        role: PromptRole,
    },
}
