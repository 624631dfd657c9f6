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

/// The most symbolic links that are followed one after the other, as on Linux.
const MAX_LINKS: usize = 40;

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
/// The profile cannot be expressed or written; then the old file is as it was. [`ProfileError::NotDurable`] if it was
/// written, but may be lost in a crash.
pub fn write(path: &Path, profile: &Profile) -> Result<(), ProfileError> {
    let content = text::render(profile)
        .map_err(|error| ProfileError::Unwritable { path: path.into(), message: error.to_string() })?;
    let target = behind_links(path);
    let directory = match target.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let failed = |step| move |source| ProfileError::Write { path: path.into(), step, source };
    let staged = stage(&directory, &content, &target).map_err(failed("write a temporary file beside it"))?;
    staged.persist(&target).map_err(|error| failed("replace it")(error.error))?;
    // The rename itself is durable only when the directory is; elsewhere directories cannot be opened as files.
    #[cfg(unix)]
    fs::File::open(&directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| ProfileError::NotDurable { path: path.into(), source })?;
    Ok(())
}

/// The file that `path` names behind symbolic links, whether it exists or not, so that links stay links.
fn behind_links(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(link) = fs::read_link(&target) else { break };
        target = target.parent().map_or(link.clone(), |parent| parent.join(&link));
    }
    target
}

/// A durable temporary file in `directory` that is to replace `target`: in the same file system, so that a rename is
/// atomic, and with the same permissions.
fn stage(directory: &Path, content: &str, target: &Path) -> io::Result<NamedTempFile> {
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
    // Only a file's mode is kept: what is no file cannot be replaced, and says so at the rename.
    if let Some(old) = fs::metadata(target).ok().filter(fs::Metadata::is_file) {
        file.as_file().set_permissions(old.permissions())?;
    }
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
        let provenance =
            Provenance { date: "old".into(), ..Provenance::unknown(DeviceId::gpu("NVIDIA H200", 9, 0)) };
        write(&path, &Profile::new(provenance.clone())).unwrap();
        let new = text::render(&Profile::new(Provenance { date: "new".into(), ..provenance })).unwrap();
        // All that `write` does before the rename; a crash runs no destructor.
        std::mem::forget(stage(folder.path(), &new, &path).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(read(&path).unwrap().profile.provenance.date, "old");
    }
}
