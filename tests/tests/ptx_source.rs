//! The checked-in PTX belongs to the kernel source; and the check that says so can fail.

use std::fs;

use dustin_kernels::registry::{self, Entry};
use tempfile::TempDir;
use xtask::{freshness, ptx, root, source};

/// The hash that the checked-in PTX was built from.
fn recorded() -> String {
    freshness::manifest(&ptx::folder()).unwrap().source
}

/// A copy of the checked-in PTX, for a test to damage.
fn copy() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(ptx::folder()).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// The one fault that is found in a damaged copy.
#[track_caller]
fn fault(copy: &TempDir, hash: &str, entries: &[Entry]) -> String {
    let faults = freshness::faults(copy.path(), hash, entries).unwrap();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults[0].clone()
}

#[test]
fn the_checked_in_ptx_belongs_to_the_kernel_source() {
    let entries = registry::entries();
    assert!(entries.len() > 100, "{} entries", entries.len());
    let hash = source::hash(root(), &entries).unwrap();
    let faults = freshness::faults(&ptx::folder(), &hash, &entries).unwrap();
    assert!(faults.is_empty(), "run `cargo xtask ptx`: {faults:#?}");
}

#[test]
fn ptx_of_another_source_is_refused() {
    assert!(fault(&copy(), "0", &registry::entries()).contains("the kernel source has changed"));
}

#[test]
fn an_edited_file_is_refused() {
    let (copy, entries) = (copy(), registry::entries());
    let path = copy.path().join(format!("{}.ptx", entries[0].name));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}// edited\n")).unwrap();
    assert!(fault(&copy, &recorded(), &entries).contains("not the one that was built"));
}

#[test]
fn a_missing_file_is_refused() {
    let (copy, entries) = (copy(), registry::entries());
    fs::remove_file(copy.path().join(format!("{}.ptx", entries[0].name))).unwrap();
    assert!(fault(&copy, &recorded(), &entries).contains("it has no file"));
}

#[test]
fn a_file_without_an_entry_is_refused() {
    let copy = copy();
    fs::write(copy.path().join("left_over.ptx"), "").unwrap();
    assert!(fault(&copy, &recorded(), &registry::entries()).contains("left_over: a file without an entry"));
}

#[test]
fn an_entry_whose_shared_memory_changed_is_refused() {
    let mut entries = registry::entries();
    entries[0].shared_bytes += 16;
    assert!(fault(&copy(), &recorded(), &entries).contains("differ from the registry's"));
}

#[test]
fn an_entry_with_a_stack_or_spills_is_refused() {
    let (copy, entries) = (copy(), registry::entries());
    let path = copy.path().join("manifest.toml");
    let manifest = fs::read_to_string(&path).unwrap();
    for resource in ["stack_bytes", "spill_bytes"] {
        let none = format!("{resource} = 0");
        fs::write(&path, manifest.replacen(&none, &format!("{resource} = 4"), 1)).unwrap();
        assert!(fault(&copy, &recorded(), &entries).contains("without stack and spills"), "{resource}");
    }
}

#[test]
fn more_entries_than_the_budget_are_refused() {
    let copy = copy();
    for index in 0..400 {
        fs::write(copy.path().join(format!("planted_{index}.ptx")), "").unwrap();
    }
    assert_budget_fault(&copy, &format!("{} entries of PTX", 400 + registry::entries().len()));
}

#[test]
fn more_bytes_than_the_budget_are_refused() {
    let copy = copy();
    fs::File::create(copy.path().join("planted.ptx")).unwrap().set_len(16 << 20).unwrap();
    assert_budget_fault(&copy, "bytes of PTX");
}

/// Besides the planted files' own faults there is one, of the budget.
#[track_caller]
fn assert_budget_fault(copy: &TempDir, what: &str) {
    let mut faults = freshness::faults(copy.path(), &recorded(), &registry::entries()).unwrap();
    faults.retain(|fault| !fault.starts_with("planted"));
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].contains(what) && faults[0].contains("more than the budget"), "{}", faults[0]);
}

#[test]
fn a_missing_or_broken_manifest_is_an_error_that_names_it() {
    let copy = copy();
    let path = copy.path().join("manifest.toml");
    fs::write(&path, "source = 3").unwrap();
    let broken = freshness::faults(copy.path(), "", &[]).unwrap_err().to_string();
    assert!(broken.contains("manifest.toml is not a manifest"), "{broken}");
    fs::remove_file(&path).unwrap();
    let missing = freshness::faults(copy.path(), "", &[]).unwrap_err().to_string();
    assert!(missing.contains("manifest.toml cannot be read"), "{missing}");
}
