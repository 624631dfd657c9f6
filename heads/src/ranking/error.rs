//! Why a file ranks no heads.

use std::{io, path::PathBuf};

use crate::field::FieldError;

/// Why a file gives no ranking.
#[derive(Debug, thiserror::Error)]
pub enum RankingError {
    /// The operating system refuses to read it.
    #[error("head ranking {path}: cannot be read ({source}); check the path and its permissions", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// It is not as CompressKV writes it.
    #[error("head ranking {file}: must be {required}, but: {message}")]
    NotRanking {
        /// The file.
        file: String,
        /// What the file should hold.
        required: &'static str,
        /// What the parser says.
        message: String,
    },
    /// It is not a ranking of the model's heads.
    #[error("head ranking {0}")]
    Field(#[from] FieldError),
}
