//! Profiles on disk: read with a limit, written atomically.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile};

use super::{
    error::ProfileError,
    schema::Profile,
    text::{self, Read},
};

/// The most bytes that are read: several thousand entries.
const LIMIT: u64 = 16 << 20;

/// Reads a profile.
///
/// # Errors
/// The file cannot be read, or is no profile. Bad entries are warnings.
pub fn read(path: &Path) -> Result<Read, ProfileError> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|source| ProfileError::Read { path: path.into(), source })?;
    if bytes.len() as u64 > LIMIT {
        return Err(ProfileError::TooLarge { path: path.into(), limit: LIMIT });
    }
    let content = String::from_utf8(bytes).map_err(|error| ProfileError::NotUtf8 {
        path: path.into(),
        offset: error.utf8_error().valid_up_to(),
    })?;
    text::parse(&content, path)
}

/// Writes a profile so that at every moment, and after a crash at any moment, the file holds either all of the old
/// profile or all of the new one. Of several writers the last one wins.
///
/// # Errors
/// The profile cannot be expressed or written; then the old file is as it was.
pub fn write(path: &Path, profile: &Profile) -> Result<(), ProfileError> {
    let content = text::render(profile)
        .map_err(|error| ProfileError::Unwritable { path: path.into(), message: error.to_string() })?;
    // Through a symbolic link, so that the link stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let directory = match target.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let failed = |step| move |source| ProfileError::Write { path: path.into(), step, source };
    let staged = stage(&directory, &content).map_err(failed("write a temporary file beside it"))?;
    staged.persist(&target).map_err(|error| failed("replace it")(error.error))?;
    // The rename itself is durable only when the directory is.
    fs::File::open(&directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("make its directory durable"))
}

/// A durable temporary file in `directory`: in the same file system, so that a rename is atomic.
fn stage(directory: &Path, content: &str) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".profile-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file: the process's mask decides. A temporary file would be its owner's alone.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(directory)?;
    file.write_all(content.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{DeviceId, Provenance};

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_profile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h200.toml");
        let provenance = Provenance {
            device: DeviceId::gpu("NVIDIA H200", 9, 0),
            sm_count: None,
            cpu_threads: None,
            l2_kib: None,
            memory_mib: None,
            driver: None,
            cuda: None,
            power_limit_w: None,
            mig: None,
            kernel_source_hash: String::new(),
            search_space_hash: String::new(),
            crate_version: String::new(),
            date: "old".into(),
        };
        write(&path, &Profile::new(provenance.clone())).unwrap();
        let new = text::render(&Profile::new(Provenance { date: "new".into(), ..provenance })).unwrap();
        // All that `write` does before the rename; a crash runs no destructor.
        std::mem::forget(stage(folder.path(), &new).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(read(&path).unwrap().profile.provenance.date, "old");
    }
}
