//! `report`: a profile, and the spaces that journals hold, as one HTML page.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use askama::Template as _;
use dustin::profile::Read;
use serde::Serialize;

use crate::{
    args::ReportArgs,
    atomic, book,
    console::Console,
    heads::read_records,
    html::{Page, Spaces},
    journal::Held,
    outcome::{self, Exit},
};

#[derive(Serialize)]
struct Report {
    report: String,
    bytes: usize,
    buckets: usize,
    journals: Vec<String>,
    warnings: Vec<String>,
}

/// Writes the page.
pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    let console = Console::from(&args.console);
    let Read { mut profile, warnings } = book::read(&args.profile, console)?;
    let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    // Of a bucket that no problem can have nobody knows what it would move.
    profile.entries.retain(|entry| match entry.key.validate() {
        Ok(()) => true,
        Err(error) => {
            warnings.push(format!("an entry is left out, since {error}"));
            false
        }
    });
    let journals = if args.journal.is_empty() { beside(&args.profile) } else { args.journal.clone() };
    let mut spaces = Spaces::default();
    for path in &journals {
        warnings.extend(add(&mut spaces, path)?);
    }
    let records = read_records(&args.profile).unwrap_or_else(|error| {
        warnings.push(outcome::sentence(&error));
        Vec::new()
    });
    if spaces.is_empty() && records.is_empty() {
        console.note(
            "no journal of a search is at hand: the page shows the profile alone; name one with --journal",
        );
    }
    let shown: Vec<String> = journals.iter().map(|path| path.display().to_string()).collect();
    let page = Page::new(&profile, (&spaces, &records), shown.clone(), warnings.clone());
    let html = page.render()?;
    let output = args.output.clone().unwrap_or_else(|| args.profile.with_extension("html"));
    atomic::write(&output, &html)
        .with_context(|| format!("cannot write {}; choose another --output", output.display()))?;
    let report = Report {
        report: output.display().to_string(),
        bytes: html.len(),
        buckets: page.buckets(),
        journals: shown,
        warnings,
    };
    console.print(&format!(
        "report {}: {} buckets, {} kB",
        report.report,
        report.buckets,
        report.bytes.div_ceil(1000)
    ))?;
    console.print_json(&report)?;
    Ok(Exit::Done)
}

/// The journals beside a profile, by the names that `tune` gives them.
fn beside(profile: &Path) -> Vec<PathBuf> {
    let folder = profile.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let stem = profile.file_stem().map(|stem| format!("{}.", stem.to_string_lossy())).unwrap_or_default();
    let is_journal = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with(&stem) && name.ends_with(".journal")
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| profile.with_file_name(entry.file_name())).filter(is_journal).collect();
    found.sort();
    found
}

/// Adds what the journal at `path` holds; gives what of it could not be used.
fn add(spaces: &mut Spaces, path: &Path) -> anyhow::Result<Option<String>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read the journal {}", path.display()))?;
    if bytes.is_empty() {
        return Ok(Some(format!("{}: it is empty", path.display())));
    }
    let Held { records, unreadable, .. } = Held::of(&bytes);
    if records.is_empty() {
        bail!(
            "{} is no journal: none of its lines is a record; name a file that `autotune tune` wrote",
            path.display()
        );
    }
    spaces.add(records);
    Ok((unreadable > 0)
        .then(|| format!("{}: {unreadable} lines are no records and are left out", path.display())))
}
