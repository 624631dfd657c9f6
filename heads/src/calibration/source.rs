//! The files of a capture: one, or the shards that an index names.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{
    CalibrationError, INDEX, METADATA,
    file::{Bytes, Header, map},
};
use crate::field::FieldError;

/// All files.
#[derive(Debug)]
pub(super) enum Source {
    /// One file, which stays mapped.
    Single { name: String, bytes: Arc<Bytes>, header: Header },
    /// Shards, which are mapped while they are read: there may be more than an operating system maps at once.
    Sharded { name: String, index: Vec<u8>, shards: Vec<Shard>, places: HashMap<String, usize> },
}

/// One of several files.
#[derive(Debug)]
pub(super) struct Shard {
    path: PathBuf,
    header: Header,
    stated: Stated,
}

/// What the index says of a shard.
#[derive(Clone, Debug, Deserialize)]
struct Stated {
    bytes: u64,
    sha256: String,
}

#[derive(Deserialize)]
struct Index {
    metadata: BTreeMap<String, serde_json::Value>,
    files: BTreeMap<String, Stated>,
    weight_map: HashMap<String, String>,
}

/// What every shard says of itself.
#[derive(Deserialize)]
struct Membership {
    capture: String,
}

impl Source {
    /// The files at `path`: a safetensors file, an index, or the folder of one. With them the text of the metadata.
    pub(super) fn open(path: &Path) -> Result<(Self, String), CalibrationError> {
        let index = if path.is_dir() { Some(path.join(INDEX)) } else { None };
        match index.as_deref().or(path.extension().is_some_and(|it| it == "json").then_some(path)) {
            Some(index) => Self::sharded(index),
            None => Self::single(path.display().to_string(), map(path)?),
        }
    }

    /// A capture in one file, which is called `name`.
    pub(super) fn single(name: String, bytes: Arc<Bytes>) -> Result<(Self, String), CalibrationError> {
        let header = Header::read(&name, &bytes)?;
        match header.text(METADATA).map(str::to_owned) {
            Some(text) => Ok((Self::Single { name, bytes, header }, text)),
            None => Err(CalibrationError::NoMetadata { file: name }),
        }
    }

    fn sharded(path: &Path) -> Result<(Self, String), CalibrationError> {
        let name = path.display().to_string();
        let index = map(path)?.to_vec();
        let foreign = |message: String| CalibrationError::Foreign { file: name.clone(), message };
        let Index { metadata, files, weight_map } =
            serde_json::from_slice(&index).map_err(|error| foreign(error.to_string()))?;
        let Some(text) = metadata.get(METADATA).and_then(serde_json::Value::as_str).map(str::to_owned) else {
            return Err(CalibrationError::NoMetadata { file: name });
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let numbers: HashMap<&str, usize> = files.keys().map(String::as_str).zip(0..).collect();
        let place = |(tensor, file): (&String, &String)| {
            let number = numbers.get(file.as_str()).copied();
            number
                .map(|number| (tensor.clone(), number))
                .ok_or_else(|| FieldError::new(&name, format!("weight_map[{tensor}]"), "one of files", file))
        };
        let places = weight_map.iter().map(place).collect::<Result<_, _>>()?;
        let shards = files.iter().map(|(file, stated)| {
            if Path::new(file).file_name().is_none_or(|plain| plain != file.as_str()) {
                return Err(FieldError::new(&name, "files", "plain file names", file).into());
            }
            Shard::open(folder.join(file), stated)
        });
        let shards = shards.collect::<Result<_, _>>()?;
        Ok((Self::Sharded { name, index, shards, places }, text))
    }

    /// What the capture is called in messages.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Single { name, .. } | Self::Sharded { name, .. } => name,
        }
    }

    /// What a header says of a tensor, and the file that it is in.
    pub(super) fn info(&self, tensor: &str) -> Option<(String, &TensorInfo)> {
        match self {
            Self::Single { name, header, .. } => Some((name.clone(), header.tensor(tensor)?.0)),
            Self::Sharded { shards, places, .. } => {
                let shard = &shards[*places.get(tensor)?];
                Some((shard.path.display().to_string(), shard.header.tensor(tensor)?.0))
            }
        }
    }

    /// The bytes of a tensor that there is: a file's, and where in them.
    pub(super) fn bytes(&self, tensor: &str) -> Result<(Arc<Bytes>, Range<usize>), CalibrationError> {
        let missing =
            || CalibrationError::Missing { file: self.name().to_owned(), tensor: tensor.to_owned() };
        match self {
            Self::Single { bytes, header, .. } => {
                Ok((bytes.clone(), header.tensor(tensor).ok_or_else(missing)?.1))
            }
            Self::Sharded { shards, places, .. } => {
                let shard = &shards[*places.get(tensor).ok_or_else(missing)?];
                let (_, range) = shard.header.tensor(tensor).ok_or_else(missing)?;
                Ok((shard.map()?, range))
            }
        }
    }

    /// Refuses shards of another capture than `capture`.
    pub(super) fn require_members(&self, capture: &str) -> Result<(), CalibrationError> {
        let Self::Sharded { shards, .. } = self else { return Ok(()) };
        for Shard { path, header, .. } in shards {
            let file = path.display().to_string();
            let Some(text) = header.text(METADATA) else {
                return Err(CalibrationError::NoMetadata { file });
            };
            let member: Membership = serde_json::from_str(text).map_err(|error| {
                CalibrationError::Metadata { file: file.clone(), message: error.to_string() }
            })?;
            if member.capture != capture {
                let required = capture.to_owned();
                return Err(CalibrationError::OtherCapture { file, required, actual: member.capture });
            }
        }
        Ok(())
    }

    /// SHA-256 of the single file or of the index, in hexadecimal.
    pub(super) fn digest(&self) -> String {
        match self {
            Self::Single { bytes, .. } => sha256(bytes),
            Self::Sharded { index, .. } => sha256(index),
        }
    }

    /// Refuses shards whose bytes are not those that the index states; reads all of them.
    pub(super) fn check_digests(&self) -> Result<(), CalibrationError> {
        let Self::Sharded { shards, .. } = self else { return Ok(()) };
        for shard in shards {
            let (required, actual) = (shard.stated.sha256.clone(), sha256(&shard.map()?));
            if actual != required {
                let file = shard.path.display().to_string();
                return Err(CalibrationError::Digest { file, required, actual });
            }
        }
        Ok(())
    }
}

impl Shard {
    fn open(path: PathBuf, stated: &Stated) -> Result<Self, CalibrationError> {
        let bytes = map_stated(&path, stated)?;
        let header = Header::read(&path.display().to_string(), &bytes)?;
        Ok(Self { path, header, stated: stated.clone() })
    }

    /// Its bytes, as many as the header was read for.
    fn map(&self) -> Result<Arc<Bytes>, CalibrationError> {
        map_stated(&self.path, &self.stated)
    }
}

fn map_stated(path: &Path, stated: &Stated) -> Result<Arc<Bytes>, CalibrationError> {
    let bytes = map(path)?;
    if bytes.len() as u64 != stated.bytes {
        return Err(CalibrationError::Size {
            file: path.display().to_string(),
            required: stated.bytes.to_string(),
            actual: bytes.len() as u64,
        });
    }
    Ok(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
