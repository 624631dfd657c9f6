//! Appending to the journal, and reading it after whatever has happened.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use dustin::profile::Choice;
use jiff::{Timestamp, Unit};

use super::{
    record::{Record, Subject},
    sittings::{Sitting, Sittings},
    sync::Syncer,
};
use crate::device::Device;

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// Somebody else writes it.
    #[error(
        "the journal {path} is being written by another run: wait until that has ended, or choose another --output"
    )]
    Held {
        /// The file.
        path: String,
    },
    /// The system refuses.
    #[error("the journal {path} cannot be {verb}: {source}; choose another --output, or make room")]
    Unusable {
        /// The file.
        path: String,
        /// What was being done.
        verb: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// The journal of a run.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    sittings: Sittings,
    numbers: u32,
    syncer: Syncer,
}

/// What an existing file held.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Held {
    /// Its records, in their order.
    pub(crate) records: Vec<Record>,
    /// Lines that are no records.
    pub(crate) unreadable: usize,
    /// Bytes behind the last whole line.
    pub(crate) torn: usize,
}

/// Where the journal of runs on `device` lies that write the profile at `profile`: beside it, one for each of a machine's
/// GPUs, so that several can fill one profile at a time.
pub(crate) fn path(profile: &Path, device: &Device) -> PathBuf {
    let place = device.place();
    let mut name = profile.file_stem().map_or_else(|| OsString::from("profile"), ToOwned::to_owned);
    name.push(format!(".{place}.journal"));
    profile.with_file_name(name)
}

impl Journal {
    /// Opens the journal at `path`, or begins it, for a new run, or for one that goes on where the last one was cut off.
    /// Gives what a person should know, too.
    ///
    /// # Errors
    /// The file cannot be read or written, or another run writes it.
    pub(crate) fn open(path: PathBuf, resume: bool) -> Result<(Self, Vec<String>), JournalError> {
        let written = |source| failed(&path, "written", source);
        let mut file = File::options().create(true).read(true).append(true).open(&path).map_err(written)?;
        // A device is one machine's; a folder may be several machines'. The system releases it with the process.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Held { path: path.display().to_string() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(&path, "locked", source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| failed(&path, "read", source))?;
        let held = Held::of(&bytes);
        let mut remarks = Vec::new();
        // What a run was cut off in the middle of would otherwise begin the next line.
        let cut = file.set_len((bytes.len() - held.torn) as u64);
        let syncer = cut.and_then(|()| file.try_clone()).map(Syncer::new).map_err(written)?;
        if held.torn > 0 {
            let shown = path.display();
            remarks.push(format!("{shown}: its last record was cut off, and is left out"));
        }
        if resume && held.unreadable > 0 {
            let (shown, count) = (path.display(), held.unreadable);
            remarks.push(format!("{shown}: {count} lines are no records; what they held is measured anew"));
        }
        let numbers = held.records.iter().filter_map(Record::number).max().map_or(0, |last| last + 1);
        let boot = boot();
        let sittings = match resume {
            true => Sittings::of_the_last_run(held.records, boot.as_deref()),
            false => Sittings::default(),
        };
        if resume && sittings.is_empty() {
            remarks.push(format!("{}: there is nothing to resume", path.display()));
        }
        let mut journal = Self { path, file, sittings, numbers, syncer };
        let now = Timestamp::now();
        let date = now.round(Unit::Second).unwrap_or(now).to_string();
        // A run of which nothing is left has not been resumed.
        journal.append(&Record::Run { date, resumed: resume && !journal.sittings.is_empty(), boot })?;
        Ok((journal, remarks))
    }

    /// Whether the run that is resumed has measured anything of `subject`.
    pub(crate) fn knows(&self, subject: &Subject) -> bool {
        self.sittings.knows(subject)
    }

    /// The next sitting for `subject`: what is known of it already, or nothing. `near` is the nearest choice of the profile as it
    /// is now; the sitting has the one as it was then.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn sit(&mut self, subject: Subject, near: Option<Choice>) -> Result<Sitting, JournalError> {
        if let Some(sitting) = self.sittings.take(&subject) {
            return Ok(sitting);
        }
        let number = self.numbers;
        self.numbers += 1;
        self.append(&Record::Problem { number, subject: Box::new(subject), near: near.clone() })?;
        Ok(Sitting::new(number, near))
    }

    /// Appends a record, and waits until it is on the disk, so that the end of the whole system no longer undoes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn append_durably(&mut self, record: &Record) -> Result<(), JournalError> {
        self.append(record)?;
        self.file.sync_data().map_err(|source| failed(&self.path, "written", source))
    }

    /// Appends a record, which the end of this process no longer undoes. It is on the disk a few milliseconds later.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let written = serde_json::to_string(record).map_err(io::Error::from).and_then(|line| {
            // One call, so that no part of a line is written without the rest unless the system stops half-way.
            self.file.write_all(format!("{line}\n").as_bytes())?;
            self.syncer.wish()
        });
        written.map_err(|source| failed(&self.path, "written", source))
    }
}

impl Held {
    /// What the bytes of a journal say.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let mut held = Self { torn: bytes.len() - whole, ..Self::default() };
        for line in bytes[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(record) => held.records.push(record),
                Err(_) => held.unreadable += 1,
            }
        }
        held
    }
}

fn failed(path: &Path, verb: &'static str, source: io::Error) -> JournalError {
    JournalError::Unusable { path: path.display().to_string(), verb, source }
}

/// What tells the time since this system was started from all others, on any machine.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}
