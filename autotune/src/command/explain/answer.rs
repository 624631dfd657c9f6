//! Which entry serves a bucket, and what stood in the way of a better one.

use std::path::{Path, PathBuf};

use dustin::profile::{Catalogue, Entry, Found, Key, Measurement, Provenance, Read, Source, Tuned};
use serde::Serialize;
use serde_json::Value;

use crate::{
    book,
    console::Console,
    task::{name, spell},
};

/// The entries of several profiles, first come first served.
#[derive(Default)]
pub(super) struct Entries {
    profiles: Vec<(PathBuf, Provenance)>,
    entries: Vec<(Entry, usize)>,
}

impl Entries {
    /// Adds the profile at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is no profile.
    pub(super) fn read(&mut self, path: &Path, console: Console) -> anyhow::Result<()> {
        let Read { profile, .. } = book::read(path, console)?;
        let place = self.profiles.len();
        self.profiles.push((path.into(), profile.provenance));
        self.entries.extend(profile.entries.into_iter().map(|entry| (entry, place)));
        Ok(())
    }

    /// What the first profile was measured on.
    pub(super) fn provenance(&self) -> Option<&Provenance> {
        self.profiles.first().map(|(_, provenance)| provenance)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Entry> {
        self.entries.iter().map(|(entry, _)| entry.clone())
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.profiles.iter().map(|(path, _)| path.display().to_string()).collect()
    }

    /// Where `entry` was read.
    fn path(&self, entry: &Entry) -> Option<String> {
        let (_, place) = self.entries.iter().find(|(known, _)| known == entry)?;
        Some(self.profiles[*place].0.display().to_string())
    }
}

/// What serves a bucket.
#[derive(Serialize)]
pub(super) struct Answer {
    /// Variant and launch parameters.
    pub(super) chosen: String,
    /// `exact`, `near`, `other_gpu` or `default`.
    pub(super) source: &'static str,
    /// How far the entry's bucket is, in octaves.
    pub(super) distance: Option<f64>,
    /// The profile that the entry is in.
    pub(super) profile: Option<String>,
    /// The entry's bucket, in words.
    pub(super) entry: Option<String>,
    /// In which fields its key differs.
    pub(super) differs: Vec<Field>,
    /// Whether the entry was edited by hand.
    pub(super) manual: bool,
    /// Why it is nothing better.
    pub(super) misses: Vec<String>,
    /// The entry's evidence.
    pub(super) measurement: Option<Measurement>,
}

/// A field of the key.
#[derive(Serialize)]
pub(super) struct Field {
    pub(super) field: String,
    /// What the workload has.
    pub(super) asked: String,
    /// What the entry has.
    pub(super) entry: String,
}

impl Answer {
    /// What serves the bucket of `key`.
    ///
    /// # Errors
    /// Nothing does.
    pub(super) fn new(
        key: &Key,
        tuned: &Tuned<impl Catalogue>,
        entries: &Entries,
    ) -> Result<Self, dustin::InvalidInput> {
        let Found { choice, entry, source, misses } = tuned.find(key)?;
        let (source, distance) = match source {
            Source::Exact => ("exact", None),
            Source::Near { distance } => ("near", Some(distance)),
            Source::OtherGpu { distance, .. } => ("other_gpu", Some(distance)),
            Source::Default => ("default", None),
        };
        Ok(Self {
            chosen: spell(&choice.variant, &choice.launch),
            source,
            distance,
            profile: entry.and_then(|entry| entries.path(entry)),
            entry: entry.map(|entry| name(&entry.key)),
            differs: entry.map_or_else(Vec::new, |entry| differences(key, &entry.key)),
            manual: entry.is_some_and(Entry::is_manual),
            misses: misses.iter().map(ToString::to_string).collect(),
            measurement: entry.and_then(|entry| entry.measurement.clone()),
        })
    }
}

/// The fields, by the names of the file, in which two keys of one kernel differ.
fn differences(asked: &Key, tuned: &Key) -> Vec<Field> {
    let fields = |key: &Key| match serde_json::to_value(key) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (asked, tuned) = (fields(asked), fields(tuned));
    let word = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(fields)) => fields.values().map(plain).collect::<Vec<_>>().join(", "),
        Some(value) => value.to_string(),
        None => "absent".into(),
    };
    asked
        .keys()
        .filter(|field| asked.get(*field) != tuned.get(*field))
        .map(|field| Field {
            field: field.clone(),
            asked: word(asked.get(field)),
            entry: word(tuned.get(field)),
        })
        .collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
