//! Whether checked-in PTX belongs to the source: what can be told without a device toolchain.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result};
use dustin_kernels::registry::Entry;

use crate::{
    budget::Spent,
    inspect,
    manifest::{self, Manifest},
    ptxas, source,
};

/// Reads the manifest of the PTX in `folder`.
///
/// # Errors
/// It is missing, or is not a manifest.
pub fn manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(manifest::FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a manifest of PTX", path.display()))
}

/// What shows that the PTX in `folder` was not made of the source with this hash and these entries, or is more than
/// its budget.
///
/// # Errors
/// The folder or the manifest cannot be read.
pub fn faults(folder: &Path, source_hash: &str, entries: &[Entry]) -> Result<Vec<String>> {
    let manifest = manifest(folder)?;
    let mut faults = spent(folder)?.faults();
    if manifest.source != source_hash {
        faults
            .push("the kernel source has changed since the PTX was built: run `cargo xtask ptx`".to_owned());
    }

    let expected: BTreeSet<String> = entries.iter().map(|entry| entry.name.to_owned()).collect();
    for (what, found) in [
        ("file", files(folder)?.into_keys().collect()),
        ("manifest entry", manifest.entry.keys().cloned().collect()),
    ] {
        faults.extend(expected.difference(&found).map(|name| format!("{name}: it has no {what}")));
        faults.extend(found.difference(&expected).map(|name| format!("{name}: a {what} without an entry")));
    }

    for entry in entries {
        let (Some(record), Ok(ptx)) =
            (manifest.entry.get(entry.name), fs::read_to_string(folder.join(format!("{}.ptx", entry.name))))
        else {
            continue;
        };
        if record.sha256 != source::digest(ptx.as_bytes()) {
            faults.push(format!("{}: its file is not the one that was built", entry.name));
        }
        let recorded = (record.target.as_str(), record.threads, record.shared_bytes);
        if recorded != (entry.target.name(), entry.threads, entry.shared_bytes) {
            faults
                .push(format!("{}: target, threads or shared memory differ from the registry's", entry.name));
        }
        let assembled: Vec<&str> = record.registers.keys().map(String::as_str).collect();
        if assembled != ptxas::architectures(entry) || record.stack_bytes != 0 || record.spill_bytes != 0 {
            faults.push(format!("{}: it was not seen to assemble without stack and spills", entry.name));
        }
        faults.extend(inspect::faults(entry, &ptx));
    }
    Ok(faults)
}

/// What the PTX in `folder` takes of the budget.
///
/// # Errors
/// The folder cannot be read.
pub fn spent(folder: &Path) -> Result<Spent> {
    let files = files(folder)?;
    Ok(Spent { entries: files.len(), bytes: files.values().sum() })
}

/// The names of the PTX files in `folder`, and their sizes in bytes.
fn files(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut files = BTreeMap::new();
    for file in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let file = file?;
        let path = file.path();
        if let Some(stem) = path.file_stem()
            && path.extension().is_some_and(|extension| extension == "ptx")
        {
            files.insert(stem.to_string_lossy().into_owned(), file.metadata()?.len());
        }
    }
    Ok(files)
}
