//! The profile that a command works on: where it lies, what it holds already, and writing it step by step.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use dustin::profile::{self, DeviceId, Entry, Profile, Provenance};

use crate::console::Console;

/// A profile and its file.
pub(crate) struct Book {
    path: PathBuf,
    profile: Profile,
}

/// Where the profile of `device` lies unless the user says otherwise.
pub(crate) fn default_path(device: &DeviceId) -> PathBuf {
    let words: Vec<String> = device
        .name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let slug = if words.is_empty() { "unknown".into() } else { words.join("-") };
    Path::new("profiles").join(format!("{slug}.toml"))
}

/// Reads the profile at `path` and tells what of it could not be used.
///
/// # Errors
/// The file cannot be read or is no profile.
pub(crate) fn read(path: &Path, console: Console) -> anyhow::Result<Profile> {
    let read = profile::read(path)?;
    for warning in &read.warnings {
        console.note(&format!("warning: {}: {warning}", path.display()));
    }
    Ok(read.profile)
}

/// Refuses a profile of another device than the one at hand.
///
/// # Errors
/// The devices differ.
pub(crate) fn require_device(path: &Path, profile: &Profile, device: &DeviceId) -> anyhow::Result<()> {
    let found = &profile.provenance.device;
    if found != device {
        bail!(
            "{} is the profile of {:?}, but the device at hand is {:?}: choose another file, or --device",
            path.display(),
            found.name,
            device.name
        );
    }
    Ok(())
}

impl Book {
    /// Opens the profile at `path`, or begins it, for a device of this provenance. Entries that it holds are kept.
    ///
    /// # Errors
    /// The file is no profile, or another device's; its folder cannot be written.
    pub(crate) fn open(path: PathBuf, provenance: Provenance, console: Console) -> anyhow::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).with_context(|| {
            format!("cannot make the folder {}; choose another --output", folder.display())
        })?;
        // Better now than after minutes of measuring.
        tempfile::tempfile_in(folder).with_context(|| {
            format!("cannot write to the folder {}; choose another --output", folder.display())
        })?;
        let exists = path.try_exists().with_context(|| format!("cannot look at {}", path.display()))?;
        let profile = if exists {
            let mut old = read(&path, console)
                .context("the profile there cannot be added to; move it, or choose another --output")?;
            require_device(&path, &old, &provenance.device)?;
            old.provenance = provenance;
            old
        } else {
            Profile::new(provenance)
        };
        Ok(Self { path, profile })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts an entry in the place of the one of its bucket, and writes the file.
    ///
    /// # Errors
    /// The file cannot be written; it is then as it was.
    pub(crate) fn put(&mut self, entry: Entry) -> anyhow::Result<()> {
        self.profile.put(entry);
        Ok(profile::write(&self.path, &self.profile)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_names_its_profile() {
        assert_eq!(default_path(&DeviceId::gpu("NVIDIA H200", 9, 0)), Path::new("profiles/nvidia-h200.toml"));
        let cpu = DeviceId::cpu("Intel(R) Xeon(R) @ 2.10GHz");
        assert_eq!(default_path(&cpu), Path::new("profiles/intel-r-xeon-r-2-10ghz.toml"));
        assert_eq!(default_path(&DeviceId::cpu("../..")), Path::new("profiles/unknown.toml"));
    }
}
