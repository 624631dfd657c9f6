//! The records beside a profile: `<profile>.heads.json`, one for each pair of models.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::HeadsRecord;
use crate::atomic;

/// The version of the file.
const VERSION: u32 = 1;

/// The file.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    pairs: Vec<HeadsRecord>,
}

/// Where the records of the profile at `profile` lie.
fn path(profile: &Path) -> PathBuf {
    profile.with_extension("heads.json")
}

/// The records of the profile at `profile`; none if there is no file.
///
/// # Errors
/// The file cannot be read or holds something else.
pub(crate) fn read(profile: &Path) -> anyhow::Result<Vec<HeadsRecord>> {
    let path = path(profile);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let file: File = serde_json::from_str(&text)
        .with_context(|| format!("{} holds no records of `autotune heads`; move it", path.display()))?;
    if file.version != VERSION {
        bail!("{}: version must be {VERSION}, but is {}; move it", path.display(), file.version);
    }
    Ok(file.pairs)
}

/// Puts `record` in the place of that of its pair of models. The profile's lock is to be held.
///
/// # Errors
/// The file holds something else, or cannot be written; it is then as it was.
pub(crate) fn put(profile: &Path, record: HeadsRecord) -> anyhow::Result<()> {
    let mut pairs = read(profile)?;
    match pairs.iter_mut().find(|known| (&known.target, &known.draft) == (&record.target, &record.draft)) {
        Some(known) => *known = record,
        None => pairs.push(record),
    }
    let path = path(profile);
    let text = serde_json::to_string_pretty(&File { version: VERSION, pairs })?;
    atomic::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))
}
