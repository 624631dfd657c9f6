//! The profile that a command works on: where it lies, what it holds already, and writing it step by step.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use dustin::profile::{self, Choice, DeviceId, Entry, Key, Profile, Provenance, Read, Selection, distance};

use crate::{console::Console, device, lock::lock_profile};

/// How far a bucket may be whose choice a search begins with. It need not serve: [`distance::BOUND`] is for that.
const NEIGHBOURHOOD: f64 = 2.0;

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
pub(crate) fn read(path: &Path, console: Console) -> anyhow::Result<Read> {
    let read = profile::read(path)?;
    for warning in &read.warnings {
        console.note(&format!("warning: {}: {warning}", path.display()));
    }
    Ok(read)
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
    pub(crate) fn open(path: PathBuf, provenance: &Provenance, console: Console) -> anyhow::Result<Self> {
        let folder = folder(&path);
        fs::create_dir_all(folder).with_context(|| {
            format!("cannot make the folder {}; choose another --output", folder.display())
        })?;
        // Better now than after minutes of measuring.
        tempfile::tempfile_in(folder).with_context(|| {
            format!("cannot write to the folder {}; choose another --output", folder.display())
        })?;
        let profile = match existing(&path, provenance, console)? {
            Some(old) => Profile { provenance: provenance.clone(), ..old },
            None => Profile::new(provenance.clone()),
        };
        Ok(Self { path, profile })
    }

    /// Checks what `open` checks, and neither makes a folder nor writes a file. Tells whether there is a profile.
    ///
    /// # Errors
    /// Those of `open`.
    pub(crate) fn rehearse(path: &Path, provenance: &Provenance, console: Console) -> anyhow::Result<bool> {
        let folder = folder(path);
        // What would hold the folders that are still to be made. Temporary files have no name.
        let base = folder.ancestors().find(|base| base.exists()).unwrap_or(Path::new("."));
        tempfile::tempfile_in(base).with_context(|| {
            let verb = if folder.is_dir() { "write to" } else { "make" };
            format!("cannot {verb} the folder {}; choose another --output", folder.display())
        })?;
        Ok(existing(path, provenance, console)?.is_some())
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The choice of the entry nearest to `key`, of those that are worth a trial.
    pub(crate) fn nearest(&self, key: &Key) -> Option<&Choice> {
        let distance = |entry: &Entry| distance::between(key, &entry.key).filter(|&far| far <= NEIGHBOURHOOD);
        let near = self.profile.entries.iter().filter_map(|entry| Some((distance(entry)?, entry)));
        near.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, entry)| &entry.choice)
    }

    /// Puts an entry in the place of the one of its bucket, and writes the file. What others have put there since is
    /// kept, and so is what could not be read, unless it was of this bucket.
    ///
    /// # Errors
    /// The file has become another device's or no profile, or it cannot be written; it is then as it was.
    pub(crate) fn put(&mut self, entry: Entry) -> anyhow::Result<()> {
        let _lock = lock_profile(&self.path)?;
        if self.path.try_exists()? {
            let theirs = profile::read(&self.path)?.profile;
            require_device(&self.path, &theirs, &self.profile.provenance.device)?;
            self.profile = Profile { provenance: self.profile.provenance.clone(), ..theirs };
        }
        self.profile.put(entry);
        self.profile.provenance.date = device::now();
        Ok(profile::write(&self.path, &self.profile)?)
    }
}

/// Checks that a head selection can be put into the profile at `path`, and writes nothing. Gives the profile, if there is one.
///
/// # Errors
/// The file is no profile, or that of another device than `device`; its folder cannot be written.
pub(crate) fn expect_selection(
    path: &Path,
    device: Option<&DeviceId>,
    console: Console,
) -> anyhow::Result<Option<Profile>> {
    let folder = folder(path);
    let base = folder.ancestors().find(|base| base.exists()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(base).with_context(|| {
        format!("cannot write to the folder {}; choose another --output", folder.display())
    })?;
    if !path.try_exists().with_context(|| format!("cannot look at {}", path.display()))? {
        return Ok(None);
    }
    let known = read(path, console)
        .context("the profile there cannot be added to; move it, or choose another --output")?
        .profile;
    device.map_or(Ok(()), |device| require_device(path, &known, device))?;
    Ok(Some(known))
}

/// Puts a head selection in the place of that of its models, in the profile at `path` or in a new one of this provenance, and
/// calls `beside` for what goes with it, before others may write there. All else in the profile is kept, its provenance as well:
/// entries were measured when they were.
///
/// # Errors
/// The file has become another device's or no profile, or it cannot be written; it is then as it was.
pub(crate) fn put_selection(
    path: &Path,
    provenance: &Provenance,
    selection: Selection,
    beside: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = folder(path);
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}; choose another --output", folder.display()))?;
    let _lock = lock_profile(path)?;
    let mut profile = if path.try_exists()? {
        let theirs = profile::read(path)?.profile;
        require_device(path, &theirs, &provenance.device)?;
        theirs
    } else {
        Profile::new(provenance.clone())
    };
    profile.put_selection(selection);
    profile::write(path, &profile)?;
    beside(path)
}

/// The profile at `path`, if there is a file, for adding to it.
///
/// # Errors
/// The file is no profile, or another device's.
fn existing(path: &Path, provenance: &Provenance, console: Console) -> anyhow::Result<Option<Profile>> {
    if !path.try_exists().with_context(|| format!("cannot look at {}", path.display()))? {
        return Ok(None);
    }
    let old = read(path, console)
        .context("the profile there cannot be added to; move it, or choose another --output")?
        .profile;
    require_device(path, &old, &provenance.device)?;
    tell_differences(path, &old, provenance, console);
    Ok(Some(old))
}

/// The folder of the file at `path`.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A profile has one provenance for all its entries: says what the older ones will lose by a new one.
fn tell_differences(path: &Path, old: &Profile, now: &Provenance, console: Console) {
    let differences = old.provenance.differences(now);
    if differences.is_empty() || old.entries.is_empty() {
        return;
    }
    for difference in differences {
        console.note(&format!("warning: {}: {difference}", path.display()));
    }
    console.note(&format!(
        "warning: {}: {} older entries were measured under the other provenance and will stand under today's; \
         `autotune verify` checks them again",
        path.display(),
        old.entries.len()
    ));
}

#[cfg(test)]
mod tests {
    use std::thread;

    use dustin::{
        profile::{Choice, Key, Launch, Policy},
        select::problem::SelectProblem,
    };
    use dustin_autotune::workload::{Problem, named};

    use super::*;

    #[test]
    fn a_device_names_its_profile() {
        assert_eq!(default_path(&DeviceId::gpu("NVIDIA H200", 9, 0)), Path::new("profiles/nvidia-h200.toml"));
        let cpu = DeviceId::cpu("Intel(R) Xeon(R) @ 2.10GHz");
        assert_eq!(default_path(&cpu), Path::new("profiles/intel-r-xeon-r-2-10ghz.toml"));
        assert_eq!(default_path(&DeviceId::cpu("../..")), Path::new("profiles/unknown.toml"));
    }

    fn provenance() -> Provenance {
        Provenance::unknown(DeviceId::cpu("any"))
    }

    fn entry(batch: u32) -> Entry {
        let Problem::Select(problem) = named("cpu-select").unwrap().problem else { panic!("of selection") };
        let key = Key::of(&SelectProblem { batch, ..problem }, &DeviceId::cpu("any"), Policy::default());
        let launch = Launch { threads: Some(1), ..Launch::default() };
        Entry::manual(key, Choice { variant: "any".into(), revision: 1, ptx_digest: None, launch })
    }

    #[test]
    fn what_cannot_be_read_stays_until_its_bucket_is_tuned_or_it_is_corrected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edited.toml");
        let console = Console { quiet: true, json: false };
        let put =
            |batch| Book::open(path.clone(), &provenance(), console).unwrap().put(entry(batch)).unwrap();
        [1, 2].into_iter().for_each(put);
        let edit = |from: &str, to: &str| {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(&path, text.replacen(from, to, 1)).unwrap();
        };
        let held = || {
            let Read { profile, warnings } = profile::read(&path).unwrap();
            (profile.entries.len(), warnings.len())
        };
        edit("threads = 1", "threads = \"many\"");
        assert_eq!(held(), (1, 1));
        put(4);
        assert_eq!(held(), (2, 1));
        edit("threads = \"many\"", "threads = 1");
        assert_eq!(held(), (3, 0));
        edit("threads = 1", "threads = \"many\"");
        [2, 4, 1].into_iter().for_each(put);
        assert_eq!(held(), (3, 0));
    }

    #[test]
    fn what_several_tuners_put_into_one_profile_is_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared.toml");
        let console = Console { quiet: true, json: false };
        thread::scope(|scope| {
            for tuner in 0..4 {
                let mut book = Book::open(path.clone(), &provenance(), console).unwrap();
                scope.spawn(move || {
                    for batch in [1, 2, 3, 4].map(|exponent| 1 << (tuner * 4 + exponent)) {
                        book.put(entry(batch)).unwrap();
                    }
                });
            }
        });
        let read = profile::read(&path).unwrap();
        assert_eq!((read.profile.entries.len(), read.warnings), (16, Vec::new()));
    }
}
