//! A lock on a file in the folder for temporary files. It stays behind, so that nobody waits for one that is there no longer.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::PathBuf,
    process,
};

/// The file, held until the process ends.
pub(super) type Held = File;

fn path(name: &str) -> PathBuf {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    env::temp_dir().join(format!("{}.lock", name.chars().map(plain).collect::<String>()))
}

/// Holds `name`, unless somebody else does.
///
/// # Errors
/// The file cannot be used.
pub(super) fn try_hold(name: &str) -> io::Result<Option<Held>> {
    let mut file = File::options().create(true).truncate(false).write(true).open(path(name))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    file.set_len(0)?;
    write!(file, "{}", process::id())?;
    Ok(Some(file))
}

/// The number of the process that holds `name`.
pub(super) fn holder(name: &str) -> Option<u32> {
    fs::read_to_string(path(name)).ok()?.parse().ok()
}
