//! What can be wrong with a profile: errors that leave no profile, and warnings that leave a smaller one.

use std::{io, path::PathBuf};

use super::{key::Key, schema::SCHEMA_VERSION};
use crate::InvalidInput;

/// Why a file gives no profile, or why a profile could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The operating system refuses to read it.
    #[error("profile {path}: cannot be read ({source}); check the path and its permissions", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// It is far larger than any profile.
    #[error(
        "profile {path}: must be at most {limit} bytes, but is larger; name a file written by autotune",
        path = .path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// It holds nothing.
    #[error("profile {path}: is empty; tune again", path = .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It is not text.
    #[error(
        "profile {path}: must be UTF-8 text, but byte {offset} is not; name a file written by autotune, or tune again",
        path = .path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Bytes before the first one that is not UTF-8.
        offset: usize,
    },
    /// It is text, but not TOML, or not all of it.
    #[error(
        "profile {path}, line {line}: must be TOML, but: {message}; undo the last edit, or tune again",
        path = .path.display()
    )]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// It is TOML of another program.
    #[error(
        "profile {path}: must begin with format = \"dustin-profile\", but does not; name a file written by autotune",
        path = .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a later release.
    #[error(
        "profile {path}: schema_version must be at most {SCHEMA_VERSION}, but is {found}; update this software, or \
         tune again",
        path = .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        found: i64,
    },
    /// Its head is not as the schema has it.
    #[error(
        "profile {path}, line {line}: not as schema version {SCHEMA_VERSION} has it: {message}; undo the last edit, or \
         tune again",
        path = .path.display()
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is expected.
        message: String,
    },
    /// It cannot be expressed in TOML.
    #[error("profile {path}: cannot be expressed in TOML: {message}", path = .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What cannot be expressed.
        message: String,
    },
    /// The operating system refuses to write it; a file that was there before is unchanged.
    #[error(
        "profile {path}: cannot {step} ({source}); check that the directory exists, is writable and has room",
        path = .path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// It was written, but the operating system does not say that it survives a crash.
    #[error(
        "profile {path}: is written, but its directory cannot be made durable ({source}); a crash now may bring the old \
         file back",
        path = .path.display()
    )]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

/// Something of a profile that is not used, or that is used with a reservation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct Warning {
    /// The section, and the line or the key.
    pub place: String,
    /// What is wrong there and what to do.
    pub problem: Problem,
}

impl Warning {
    pub(super) fn new(place: impl Into<String>, problem: Problem) -> Self {
        Self { place: place.into(), problem }
    }

    pub(super) fn entry(key: &Key, problem: Problem) -> Self {
        Self { place: format!("entry of {key}"), problem }
    }
}

/// What a warning is about.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// A section that is not as the schema has it.
    #[error("not used, since it is not as the schema has it ({message}); correct it, or tune again")]
    Unreadable {
        /// What is expected.
        message: String,
    },
    /// Fewer or more entries than the head announces.
    #[error(
        "the file announces {announced} entries, but has {found}; if nobody edited it, it was cut: tune again"
    )]
    Count {
        /// Entries announced.
        announced: u64,
        /// Entries found.
        found: u64,
    },
    /// The file was written where something was different.
    #[error("was {then} when the profile was written, but is {now}; verify the profile, or tune again")]
    Provenance {
        /// What the file says.
        then: String,
        /// What is so now.
        now: String,
    },
    /// The variant does not exist here.
    #[error(
        "not used, since variant {variant:?} is unknown here; name a variant of this build, or tune again"
    )]
    UnknownVariant {
        /// The id.
        variant: String,
    },
    /// The variant has changed since.
    #[error(
        "not used, since variant {variant:?} must have revision {required}, but has {actual}; tune again"
    )]
    Revision {
        /// The id.
        variant: String,
        /// The revision in this build.
        required: u32,
        /// The revision in the profile.
        actual: u32,
    },
    /// The variant's code has changed since.
    #[error(
        "not used, since the PTX digest of variant {variant:?} must be {required}, but is {actual}; tune again"
    )]
    Digest {
        /// The id.
        variant: String,
        /// The digest in this build.
        required: String,
        /// The digest in the profile.
        actual: String,
    },
    /// The built-in rule makes another choice for the bucket asked for.
    #[error(
        "not used, since the built-in default is another one for its bucket, at a distance of {distance:.2}, and what beats one need \
         not beat the other"
    )]
    OtherDefault {
        /// Its distance.
        distance: f64,
    },
    /// A value that cannot be.
    #[error("not used, since {0}; correct it, or tune again")]
    Illegal(InvalidInput),
    /// An earlier entry has the same key.
    #[error("not used, since an earlier entry has the same key; remove one of them")]
    Duplicate,
    /// A person wrote or changed it.
    #[error("used as edited by hand: its measurement proves nothing; tune again to certify it")]
    Manual,
    /// No entry of this bucket.
    #[error("no entry for this bucket; tune it")]
    NoEntry,
    /// No entry that is near enough.
    #[error("the nearest entry is {distance:.2} away, but must be at most {bound:.2}; tune this bucket")]
    TooFar {
        /// Its distance.
        distance: f64,
        /// The most that is accepted.
        bound: f64,
    },
}
