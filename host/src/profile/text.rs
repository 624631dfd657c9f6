//! Between a profile and its TOML text.

use std::{fmt::Write as _, path::Path};

use serde::{Deserialize, Serialize};
use toml::{Spanned, Table, Value};

use super::{
    error::{Problem, ProfileError, Warning},
    schema::{Entry, Profile, Provenance, SCHEMA_VERSION, Unread},
    selection::Selection,
    validate,
};

const FORMAT: &str = "dustin-profile";

const ENTRY: &str = "entry";
const SELECTION: &str = "selection";

/// What a reader of the file should know.
const HEADING: &str = "\
# Written by autotune. Edits are welcome: an entry that is changed by hand is used as it stands and counts as manual.
";

/// The tables that stand under a heading of their own; all others are written in one line.
const SECTIONS: [&str; 6] = ["provenance", "entry", "key", "choice", "measurement", "selection"];

/// The file, with entries that are checked at once (`Entry`) or one by one (`Spanned<Table>`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<E> {
    format: String,
    schema_version: i64,
    entry_count: u64,
    provenance: Provenance,
    #[serde(default = "Vec::new")]
    entry: Vec<E>,
    #[serde(default)]
    selection: Vec<Spanned<Table>>,
}

#[derive(Serialize)]
struct FileOut<'a> {
    format: &'static str,
    schema_version: u32,
    entry_count: usize,
    provenance: &'a Provenance,
    selection: &'a [Selection],
    entry: &'a [Entry],
}

/// A profile and what of its text could not be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The profile; an entry or selection that is not as the schema has it is none of its own, but kept beside them.
    pub profile: Profile,
    /// What could not be read, and other doubts.
    pub warnings: Vec<Warning>,
}

/// Reads the text of a profile; `path` is for messages.
///
/// # Errors
/// The text is not a profile, or not of a known version. Entries never make an error, only warnings.
pub fn parse(text: &str, path: &Path) -> Result<Read, ProfileError> {
    let mut doubts = Doubts::default();
    let (file, found) = entries(text, path, &mut doubts)?;
    check_head(path, Some(&file.format), file.schema_version)?;
    if file.entry_count != found {
        let problem = Problem::Count { announced: file.entry_count, found };
        doubts.warnings.push(Warning::new("entry_count", problem));
    }
    let mut entries = file.entry;
    entries.iter_mut().for_each(Entry::judge);
    let selections = sections(text, SELECTION, file.selection, &mut doubts, |selection| {
        validate::selection(selection).map_err(Problem::Illegal)
    });
    let Doubts { warnings, unread } = doubts;
    Ok(Read { profile: Profile { provenance: file.provenance, entries, selections, unread }, warnings })
}

/// What of a text is not as the schema has it.
#[derive(Default)]
struct Doubts {
    warnings: Vec<Warning>,
    unread: Vec<Unread>,
}

/// The file with those of its entries that are as the schema has them, and the number of all. Reading them at once
/// takes half the time; only a file with a bad entry is read one by one, so that it costs nothing but itself.
fn entries(text: &str, path: &Path, doubts: &mut Doubts) -> Result<(File<Entry>, u64), ProfileError> {
    if let Ok(file) = toml::from_str::<File<Entry>>(text) {
        let found = file.entry.len() as u64;
        return Ok((file, found));
    }
    let file: File<Spanned<Table>> = toml::from_str(text).map_err(|error| diagnose(text, path, &error))?;
    let found = file.entry.len() as u64;
    let entry = sections(text, ENTRY, file.entry, doubts, |_| Ok(()));
    let File { format, schema_version, entry_count, provenance, selection, .. } = file;
    Ok((File { format, schema_version, entry_count, provenance, entry, selection }, found))
}

/// Those of `tables` that are a `T` and pass `check`.
fn sections<T: for<'de> Deserialize<'de>>(
    text: &str,
    name: &'static str,
    tables: Vec<Spanned<Table>>,
    doubts: &mut Doubts,
    check: impl Fn(&T) -> Result<(), Problem>,
) -> Vec<T> {
    let mut read = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let start = table.span().start;
        let fields = table.into_inner();
        let section = T::deserialize(fields.clone())
            .map_err(|error| Problem::Unreadable { message: one_line(&error.to_string()) })
            .and_then(|section| check(&section).map(|()| section));
        match section {
            Ok(section) => read.push(section),
            Err(problem) => {
                let place = format!("{name} {} (line {})", index + 1, line(text, start));
                doubts.warnings.push(Warning::new(place, problem));
                doubts.unread.push(Unread { section: name, fields });
            }
        }
    }
    read
}

/// Why a text is no profile, starting with the most basic reason.
fn diagnose(text: &str, path: &Path, error: &toml::de::Error) -> ProfileError {
    if text.trim().is_empty() {
        return ProfileError::Empty { path: path.into() };
    }
    let line = line(text, error.span().map_or(0, |span| span.start));
    let message = one_line(error.message());
    let Ok(table) = text.parse::<Table>() else {
        return ProfileError::NotToml { path: path.into(), line, message };
    };
    let format = table.get("format").and_then(Value::as_str);
    let version = table.get("schema_version").and_then(Value::as_integer);
    match check_head(path, format, version.unwrap_or(SCHEMA_VERSION.into())) {
        Err(error) => error,
        Ok(()) => ProfileError::Invalid { path: path.into(), line, message },
    }
}

fn check_head(path: &Path, format: Option<&str>, version: i64) -> Result<(), ProfileError> {
    if format != Some(FORMAT) {
        return Err(ProfileError::Foreign { path: path.into() });
    }
    if version > SCHEMA_VERSION.into() {
        return Err(ProfileError::Newer { path: path.into(), found: version });
    }
    if version < 1 {
        let message = format!("schema_version must be from 1 to {SCHEMA_VERSION}, but is {version}");
        return Err(ProfileError::Invalid { path: path.into(), line: 1, message });
    }
    Ok(())
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text of a profile. What could not be read stands behind the rest of its kind.
///
/// # Errors
/// A value that TOML cannot express.
pub fn render(profile: &Profile) -> Result<String, toml::ser::Error> {
    let unread = profile.unread.iter().filter(|unread| unread.section == ENTRY).count();
    let file = FileOut {
        format: FORMAT,
        schema_version: SCHEMA_VERSION,
        entry_count: profile.entries.len() + unread,
        provenance: &profile.provenance,
        selection: &profile.selections,
        entry: &profile.entries,
    };
    let mut fields = Table::try_from(file)?;
    for Unread { section, fields: read } in &profile.unread {
        if let Some(sections) = fields.get_mut(*section).and_then(Value::as_array_mut) {
            sections.push(read.clone().into());
        }
    }
    let mut text = String::from(HEADING);
    table(&mut text, "", &fields);
    Ok(text)
}

/// Writes a table: values first, since in TOML they would otherwise belong to the last section, then sections.
fn table(text: &mut String, path: &str, fields: &Table) {
    let tables = |name: &str, value: &Value| -> Option<Vec<Table>> {
        match value {
            _ if !SECTIONS.contains(&name) => None,
            Value::Table(table) => Some(vec![table.clone()]),
            Value::Array(items) if !items.is_empty() => {
                items.iter().map(|item| item.as_table().cloned()).collect()
            }
            _ => None,
        }
    };
    for (name, value) in fields.iter().filter(|&(name, value)| tables(name, value).is_none()) {
        let _ = writeln!(text, "{name} = {}", inline(value));
    }
    for (name, value) in fields {
        let heading = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let heading_line = if value.is_array() { format!("[[{heading}]]") } else { format!("[{heading}]") };
        for section in tables(name, value).into_iter().flatten() {
            let _ = writeln!(text, "\n{heading_line}");
            table(text, &heading, &section);
        }
    }
}

/// A value in one line, but for arrays of tables: one line each, so that they compare well.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) if items.iter().any(Value::is_table) => {
            let lines: String = items.iter().map(|item| format!("    {item},\n")).collect();
            format!("[\n{lines}]")
        }
        _ => value.to_string(),
    }
}
