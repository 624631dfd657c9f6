//! One safetensors file, mapped or in memory.

use std::{fs, ops::Deref, path::Path, sync::Arc};

use safetensors::tensor::{Metadata, SafeTensorError, SafeTensors, TensorInfo};

use super::CalibrationError;

/// The content of a file.
#[derive(Debug)]
pub(super) enum Bytes {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Maps the file at `path`.
pub(super) fn map(path: &Path) -> Result<Arc<Bytes>, CalibrationError> {
    let read = |source| CalibrationError::Read { path: path.into(), source };
    let file = fs::File::open(path).map_err(read)?;
    // SAFETY: the map is only read, as bytes, all of whose values are valid; it relies on nobody writing to or truncating the file
    // meanwhile. A capture appears under its name when it is whole, and nothing of this software changes one.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(read)?;
    Ok(Arc::new(Bytes::Mapped(map)))
}

/// What the header of a file says.
#[derive(Debug)]
pub(super) struct Header {
    metadata: Metadata,
    /// Where the tensors' bytes begin.
    data: usize,
}

impl Header {
    /// The header of `bytes`, which are those of `file`; what it says of tensors lies within them.
    pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Self, CalibrationError> {
        let size = |required: String| CalibrationError::Size {
            file: file.to_owned(),
            required,
            actual: bytes.len() as u64,
        };
        match SafeTensors::read_metadata(bytes) {
            Ok((header, metadata)) => Ok(Self { metadata, data: header + 8 }),
            Err(SafeTensorError::HeaderTooSmall) => Err(size("at least 8".into())),
            Err(SafeTensorError::InvalidHeaderLength) => Err(size("at least those of its header".into())),
            Err(SafeTensorError::MetadataIncompleteBuffer) => {
                Err(size("those of its header and its tensors, no fewer and no more".into()))
            }
            Err(error) => {
                Err(CalibrationError::Foreign { file: file.to_owned(), message: error.to_string() })
            }
        }
    }

    /// The text of the metadata entry `name`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(name).map(String::as_str)
    }

    /// What the header says of a tensor, and where its bytes lie in the file.
    pub(super) fn tensor(&self, name: &str) -> Option<(&TensorInfo, std::ops::Range<usize>)> {
        let info = self.metadata.info(name)?;
        let (begin, end) = info.data_offsets;
        Some((info, self.data + begin..self.data + end))
    }
}
