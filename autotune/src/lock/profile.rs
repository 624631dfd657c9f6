//! The lock of a profile: of several writers each adds to what the others have written.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Waits until nobody else reads and writes the profile at `path`; they wait while the result lives.
///
/// The lock lies on a file beside the profile, which each writer replaces. It stays behind: whoever removed it would
/// take it from under others that wait for it.
///
/// # Errors
/// The file cannot be made or locked.
pub(crate) fn lock(path: &Path) -> anyhow::Result<File> {
    let beside = beside(path);
    let shown = || format!("cannot lock {} for {}", beside.display(), path.display());
    let file = match File::options().create(true).truncate(false).write(true).open(&beside) {
        // Another user's, whose profile this user may replace all the same.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(&beside),
        opened => opened,
    };
    let file = file.with_context(shown)?;
    file.lock().with_context(shown)?;
    Ok(file)
}

/// The file that is locked, the same by whichever links the profile is named.
fn beside(path: &Path) -> PathBuf {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    target.with_file_name(format!(".{name}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_profile_is_locked_once_by_whichever_name_and_no_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.toml"), folder.path().join("link.toml"));
        let free = |path: &Path| File::open(beside(path)).unwrap().try_lock().is_ok();
        fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let held = lock(&path).unwrap();
        assert!(!free(&path) && !free(&link));
        assert!(File::open(folder.path()).unwrap().try_lock().is_ok(), "the folder is nobody's");
        drop(held);
        assert!(free(&path));
        drop(lock(&folder.path().join("b.toml")).unwrap());
        let absent = lock(&folder.path().join("none/c.toml")).unwrap_err();
        assert!(absent.to_string().contains(".c.toml.lock"), "{absent}");
    }
}
