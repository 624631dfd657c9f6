//! The command `ptx`: build, check, write.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use dustin_kernels::registry::{self, Entry};
use rayon::prelude::*;

use crate::{
    budget::Spent,
    codegen, convergent, device_build, freshness, inspect, launch_bounds,
    manifest::{FILE, Manifest, Record, Versions},
    ptxas::{self, Ptxas, Usage},
    root, source, table,
    toolchain::{self, Toolchain},
};

/// An entry that was compiled.
#[derive(Clone, Debug)]
pub struct Built {
    /// What the registry says of it.
    pub entry: Entry,
    /// Its PTX.
    pub ptx: String,
    /// What it takes on each GPU that it was assembled for; nothing without an assembler.
    pub usage: Vec<(&'static str, Usage)>,
}

/// Builds every entry, prints the table of resources and where the budget stands, and writes `kernels-gpu/ptx`. Installs the assembler below
/// `target/` if there is none.
///
/// # Errors
/// There is no toolchain or assembler, a step fails, an entry has a fault, or the budget is exceeded: nothing is
/// written then.
pub fn write() -> Result<()> {
    let start = Instant::now();
    let toolchain = toolchain::find()?;
    // PTX that nothing has seen to assemble without spills is not checked in.
    let ptxas = ptxas::install()?;
    let entries = registry::entries();
    let source = source::hash(root(), &entries)?;
    let versions = versions(&toolchain, Some(&ptxas));
    let module = module(&toolchain, &entries)?;
    let stamp = stamp(&module, &versions, &entries)?;
    if let Some(manifest) = reusable(&stamp, &versions, &entries) {
        println!("{}", table::resources(&manifest.entry));
        fs::write(folder().join(FILE), Manifest { source, ..manifest }.to_string())?;
        println!("the device code is the same as before: {} entries keep their PTX", entries.len());
        return report(start);
    }

    let (built, mut faults) = build(&toolchain, Some(&ptxas), &module, &entries)?;
    let entry = records(&built);
    println!("{}", table::resources(&entry));
    let bytes = built.iter().map(|built| built.ptx.len() as u64).sum();
    faults.extend(Spent { entries: built.len(), bytes }.faults());
    refuse(&faults)?;
    replace(&folder(), &built, &Manifest { source, toolchain: versions, entry })?;
    fs::write(stamp_file(), stamp)?;
    println!("{} entries written to {}", built.len(), folder().display());
    report(start)
}

/// Prints where the budget stands, and how long it took since `start`.
fn report(start: Instant) -> Result<()> {
    println!("{}, built in {} s", freshness::spent(&folder())?, start.elapsed().as_secs());
    Ok(())
}

/// The manifest's records of what was built, by name.
fn records(built: &[Built]) -> BTreeMap<String, Record> {
    built.iter().map(|built| (built.entry.name.to_owned(), Record::of(built))).collect()
}

/// What the checked-in PTX is made of, as far as this machine knows: an edit of comments or of host code in a kernel's
/// source leaves it alone, and minutes of code generation are spared.
fn stamp(module: &Path, versions: &Versions, entries: &[Entry]) -> Result<String> {
    let module = source::digest(&fs::read(module)?);
    Ok(format!("{module} {versions:?} {}", source::recipe(entries)))
}

/// The manifest of the checked-in PTX, if a build would write the same PTX again.
fn reusable(stamp: &str, versions: &Versions, entries: &[Entry]) -> Option<Manifest> {
    let manifest = freshness::manifest(&folder()).ok()?;
    let same = fs::read_to_string(stamp_file()).ok()? == stamp && manifest.toolchain == *versions;
    let sound = freshness::faults(&folder(), &manifest.source, entries).is_ok_and(|faults| faults.is_empty());
    (same && sound).then_some(manifest)
}

/// Writes the PTX and its manifest, and removes the files of entries that are no more.
fn replace(folder: &Path, built: &[Built], manifest: &Manifest) -> Result<()> {
    fs::create_dir_all(folder)?;
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let stale = path.file_stem().is_none_or(|stem| built.iter().all(|built| stem != built.entry.name));
        if stale && path.extension().is_some_and(|extension| extension == "ptx") {
            fs::remove_file(&path)?;
        }
    }
    for built in built {
        fs::write(folder.join(format!("{}.ptx", built.entry.name)), &built.ptx)?;
    }
    fs::write(folder.join(FILE), manifest.to_string())?;
    Ok(())
}

/// Builds the entries whose name contains `text` into `target/ptx` and prints their table: for work on a kernel.
///
/// # Errors
/// As [`write()`], or no entry's name contains the text.
pub fn preview(text: &str) -> Result<()> {
    let entries: Vec<Entry> =
        registry::entries().into_iter().filter(|entry| entry.name.contains(text)).collect();
    ensure!(!entries.is_empty(), "no entry's name contains \"{text}\"");
    let toolchain = toolchain::find()?;
    let module = module(&toolchain, &entries)?;
    let (built, faults) = build(&toolchain, assembler()?.as_ref(), &module, &entries)?;
    println!("{}", table::resources(&records(&built)));
    println!("{} entries written to {}", built.len(), work_folder().display());
    refuse(&faults)
}

/// Proves that the checked-in PTX belongs to the source and, where there is a device toolchain, that it rebuilds.
///
/// # Errors
/// It does not; the error lists the differences.
pub fn check() -> Result<()> {
    let start = Instant::now();
    let entries = registry::entries();
    let folder = folder();
    refuse(&freshness::faults(&folder, &source::hash(root(), &entries)?, &entries)?)?;
    println!("the PTX of {} entries belongs to the source: {}", entries.len(), freshness::spent(&folder)?);

    let toolchain = match toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(missing) => {
            println!("whether it rebuilds was not checked: no device toolchain ({})", missing.0.join("; "));
            return Ok(());
        }
    };
    let ptxas = assembler()?;
    let module = module(&toolchain, &entries)?;
    let (built, faults) = build(&toolchain, ptxas.as_ref(), &module, &entries)?;
    refuse(&faults)?;
    let manifest = freshness::manifest(&folder)?;
    let versions = versions(&toolchain, ptxas.as_ref());
    if (&versions.rustc, &versions.llvm) != (&manifest.toolchain.rustc, &manifest.toolchain.llvm) {
        println!(
            "{} entries rebuild without faults; rustc {} and LLVM {} are not those that built the checked-in PTX \
             ({}, {}), so the text was not compared",
            built.len(),
            versions.rustc,
            versions.llvm,
            manifest.toolchain.rustc,
            manifest.toolchain.llvm
        );
        return report(start);
    }
    refuse(&differences(
        &built,
        &manifest,
        versions.ptxas.is_some() && versions.ptxas == manifest.toolchain.ptxas,
    ))?;
    println!("{} entries rebuild byte for byte", built.len());
    report(start)
}

/// Where what was rebuilt is not what is recorded.
fn differences(built: &[Built], manifest: &Manifest, same_assembler: bool) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, record) in records(built) {
        let recorded = manifest.entry.get(&name);
        if recorded.is_none_or(|recorded| recorded.sha256 != record.sha256) {
            differences
                .push(format!("{name}: it rebuilds to other PTX; compare target/ptx with kernels-gpu/ptx"));
        } else if same_assembler && recorded != Some(&record) {
            differences.push(format!("{name}: it rebuilds with other resources than recorded"));
        }
    }
    differences
}

/// Compiles the device code to annotated bitcode in `target/ptx`, which is emptied first, and returns where it lies.
fn module(toolchain: &Toolchain, entries: &[Entry]) -> Result<PathBuf> {
    let module = device_build::module(toolchain, entries)?;
    let module = launch_bounds::annotate(&convergent::mark(&module)?, entries)?;
    let folder = work_folder();
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    codegen::prune(toolchain, &module, entries, &folder)
}

/// Generates, inspects and assembles the entries, in `target/ptx`. The faults come beside, so that the table of
/// resources can be shown with them.
fn build(
    toolchain: &Toolchain,
    ptxas: Option<&Ptxas>,
    module: &Path,
    entries: &[Entry],
) -> Result<(Vec<Built>, Vec<String>)> {
    let texts = codegen::ptx(toolchain, module, entries)?;
    let built: Vec<Built> = entries
        .par_iter()
        .zip(texts)
        .map(|(&entry, ptx)| {
            let usage = assemble(ptxas, &entry, &ptx).with_context(|| entry.name.to_owned())?;
            Ok(Built { entry, ptx, usage })
        })
        .collect::<Result<_>>()?;
    let faults = built.iter().flat_map(faults).collect();
    Ok((built, faults))
}

fn assemble(ptxas: Option<&Ptxas>, entry: &Entry, ptx: &str) -> Result<Vec<(&'static str, Usage)>> {
    let file = work_folder().join(format!("{}.ptx", entry.name));
    fs::write(&file, ptx)?;
    let Some(ptxas) = ptxas else { return Ok(Vec::new()) };
    ptxas::architectures(entry).into_iter().map(|gpu| Ok((gpu, ptxas.assemble(&file, gpu)?))).collect()
}

fn faults(built: &Built) -> Vec<String> {
    let mut faults = inspect::faults(&built.entry, &built.ptx);
    for (gpu, usage) in &built.usage {
        if usage.stack > 0 || usage.spills > 0 {
            faults.push(format!(
                "{}: {} bytes of stack and {} of spills on {gpu}",
                built.entry.name, usage.stack, usage.spills
            ));
        }
    }
    faults
}

fn refuse(faults: &[String]) -> Result<()> {
    if !faults.is_empty() {
        bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "));
    }
    Ok(())
}

fn assembler() -> Result<Option<Ptxas>> {
    let ptxas = ptxas::find()?;
    if ptxas.is_none() {
        println!("no ptxas: registers, stack and spills are not checked (`cargo xtask ptxas` installs it)");
    }
    Ok(ptxas)
}

fn versions(toolchain: &Toolchain, ptxas: Option<&Ptxas>) -> Versions {
    Versions {
        rustc: toolchain.rustc_release.clone(),
        llvm: toolchain.llvm_version.clone(),
        ptxas: ptxas.map(|ptxas| ptxas.version().to_owned()),
    }
}

/// Where the checked-in PTX lies.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("kernels-gpu/ptx")
}

fn work_folder() -> PathBuf {
    root().join("target/ptx")
}

fn stamp_file() -> PathBuf {
    root().join("target/ptx.stamp")
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Target;

    use super::*;

    fn built(stack: u32, spills: u32) -> Built {
        let entry = Entry { name: "kernel", target: Target::Sm80, threads: 128, blocks: 1, shared_bytes: 0 };
        let ptx = ".target sm_80\n.visible .entry kernel(\n)\n.maxntid 128, 1, 1\n".to_owned();
        Built { entry, ptx, usage: vec![("sm_80", Usage { registers: 32, stack, spills })] }
    }

    #[test]
    fn stack_and_spills_are_faults() {
        assert_eq!(faults(&built(0, 0)), [""; 0]);
        assert_eq!(faults(&built(8, 0)), ["kernel: 8 bytes of stack and 0 of spills on sm_80"]);
        assert_eq!(faults(&built(0, 4)), ["kernel: 0 bytes of stack and 4 of spills on sm_80"]);
    }

    #[test]
    fn the_stamp_changes_with_the_module_the_versions_and_the_entries() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one.bc"), folder.path().join("other.bc"));
        fs::write(&one, "one").unwrap();
        fs::write(&other, "other").unwrap();
        let versions = Versions { rustc: "1.96.0".into(), llvm: "22.1.8".into(), ptxas: None };
        let newer = Versions { llvm: "22.1.9".into(), ..versions.clone() };
        let entry = built(0, 0).entry;
        let base = stamp(&one, &versions, &[entry]).unwrap();
        assert_eq!(base, stamp(&one, &versions, &[entry]).unwrap());
        assert_ne!(base, stamp(&other, &versions, &[entry]).unwrap());
        assert_ne!(base, stamp(&one, &newer, &[entry]).unwrap());
        assert_ne!(base, stamp(&one, &versions, &[Entry { target: Target::Sm90, ..entry }]).unwrap());
    }

    #[test]
    fn a_rebuild_that_differs_is_reported() {
        let first = built(0, 0);
        let manifest = Manifest {
            source: String::new(),
            toolchain: Versions { rustc: String::new(), llvm: String::new(), ptxas: None },
            entry: BTreeMap::from([("kernel".to_owned(), Record::of(&first))]),
        };
        assert_eq!(differences(std::slice::from_ref(&first), &manifest, true), [""; 0]);
        let other_text = Built { ptx: format!("{}\tret;\n", first.ptx), ..first.clone() };
        assert_eq!(differences(&[other_text], &manifest, true).len(), 1);
        let other_registers =
            Built { usage: vec![("sm_80", Usage { registers: 33, stack: 0, spills: 0 })], ..first };
        assert_eq!(differences(std::slice::from_ref(&other_registers), &manifest, true).len(), 1);
        assert_eq!(differences(&[other_registers], &manifest, false), [""; 0]);
    }
}
