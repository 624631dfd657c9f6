//! `merge`: profiles of one device as one, or those of several devices side by side.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use dustin::profile::{self, DeviceId};
use serde::Serialize;

use crate::{
    args::MergeArgs,
    book,
    console::Console,
    lock::lock_profile,
    outcome::{Exit, Usage},
    profiles::{self, Conflict, Merged, Source},
    table,
};

#[derive(Serialize)]
struct Report {
    profiles: Vec<Written>,
}

/// A profile that was written.
#[derive(Serialize)]
struct Written {
    device: String,
    profile: String,
    merged: Vec<String>,
    entries: usize,
    conflicts: Vec<Conflict>,
    warnings: Vec<String>,
}

/// Merges profiles and says what they did not agree on.
pub(crate) fn merge(args: &MergeArgs) -> anyhow::Result<Exit> {
    let console = Console::from(&args.console);
    let folder = is_folder(&args.output).then_some(args.output.as_path());
    let made = folder.unwrap_or_else(|| parent(&args.output));
    fs::create_dir_all(made)
        .with_context(|| format!("cannot make the folder {}; choose another --output", made.display()))?;
    let output = |device: &DeviceId| match folder {
        Some(folder) => folder.join(book::default_path(device).file_name().unwrap_or_default()),
        None => args.output.clone(),
    };
    // Held until the end, so that what a tuner writes meanwhile is not lost. In one order, so that two that merge at a time do not
    // wait for each other.
    let device = |path: &PathBuf| Ok(profile::read(path)?.profile.provenance.device);
    let found: Vec<DeviceId> = args.profiles.iter().map(device).collect::<anyhow::Result<_>>()?;
    let written: BTreeSet<PathBuf> = found.iter().map(output).collect();
    let _locks: Vec<File> = written.iter().map(|path| lock_profile(path)).collect::<anyhow::Result<_>>()?;

    let mut devices: Vec<(DeviceId, Vec<Source>)> = Vec::new();
    for path in &args.profiles {
        let profile = book::read(path, console)?.profile;
        let device = profile.provenance.device.clone();
        let source = Source { path: path.clone(), profile };
        match devices.iter_mut().find(|(known, _)| *known == device) {
            Some((_, sources)) => sources.push(source),
            None => devices.push((device, vec![source])),
        }
    }
    if let (None, [(first, a), (second, b), ..]) = (folder, devices.as_slice()) {
        bail!(Usage(format!(
            "{} is a profile of {:?} and {} one of {:?}: profiles of different devices live side by side in one \
             folder; name a folder with --output",
            a[0].path.display(),
            first.name,
            b[0].path.display(),
            second.name
        )));
    }
    let outputs: Vec<PathBuf> = devices.iter().map(|(device, _)| output(device)).collect();
    if let Some(other) = outputs.iter().find(|output| !written.contains(*output)) {
        bail!("a profile became one for {} while it was read; merge again", other.display());
    }
    for output in &outputs {
        require_read_or_new(output, &args.profiles)?;
    }
    let written =
        devices.iter().zip(outputs).map(|((device, sources), output)| write(device, sources, &output));
    let report = Report { profiles: written.collect::<anyhow::Result<_>>()? };
    for written in &report.profiles {
        tell(written, console)?;
    }
    console.print_json(&report)?;
    Ok(Exit::Done)
}

/// Whether `path` is, or is spelt as, a folder.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().to_string_lossy().ends_with(std::path::is_separator)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Refuses to write over a file that is not among those that are merged: what it holds would be lost.
fn require_read_or_new(output: &Path, read: &[PathBuf]) -> anyhow::Result<()> {
    let same = |path: &PathBuf| fs::canonicalize(path).ok() == fs::canonicalize(output).ok();
    if output.try_exists().with_context(|| format!("cannot look at {}", output.display()))?
        && !read.iter().any(same)
    {
        bail!(
            "{} exists and would be lost: name it among the profiles to merge, or choose another --output",
            output.display()
        );
    }
    Ok(())
}

fn write(device: &DeviceId, sources: &[Source], output: &Path) -> anyhow::Result<Written> {
    let Merged { profile, conflicts, newest } =
        profiles::merge(sources).context("there is nothing to merge")?;
    profile::write(output, &profile)?;
    let warnings = sources.iter().flat_map(|Source { path, profile: old }| {
        let differences = old.provenance.differences(&profile.provenance);
        differences.into_iter().map(move |difference| format!("{}: {difference}", path.display()))
    });
    let mut warnings: Vec<String> = warnings.collect();
    if !warnings.is_empty() {
        warnings.push(format!(
            "all entries stand under the provenance of {}; `autotune verify` checks them",
            sources[newest].path.display()
        ));
    }
    Ok(Written {
        device: device.name.clone(),
        profile: output.display().to_string(),
        merged: sources.iter().map(|source| source.path.display().to_string()).collect(),
        entries: profile.entries.len(),
        conflicts,
        warnings,
    })
}

fn tell(written: &Written, console: Console) -> anyhow::Result<()> {
    let Written { device, profile, merged, entries, conflicts, warnings } = written;
    for warning in warnings {
        console.note(&format!("warning: {warning}"));
    }
    if !conflicts.is_empty() {
        let mut rows = table::new(&["bucket", "kept", "of", "dropped", "of", "why"], 6);
        for Conflict { bucket, kept, dropped, reason } in conflicts {
            let cells = [bucket, &kept.chosen, &kept.profile, &dropped.chosen, &dropped.profile];
            rows.add_row(cells.map(String::as_str).into_iter().chain([reason.word()]));
        }
        console.print(&rows.to_string())?;
    }
    let (files, found) = (merged.len(), conflicts.len());
    Ok(console.print(&format!(
        "profile {profile}: {entries} entries of {device} from {files} files, {found} conflicts"
    ))?)
}
