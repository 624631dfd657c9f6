//! The hash of everything that PTX is made from, but for the toolchain's versions.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use dustin_kernels::registry::Entry;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// The steps that PTX's text depends on: their flags, attributes and edits of it are constants and code.
const STEPS: &[&[u8]] = &[
    include_bytes!("codegen.rs"),
    include_bytes!("convergent.rs"),
    include_bytes!("device_build.rs"),
    include_bytes!("launch_bounds.rs"),
];

/// What lies in `kernels-gpu/src` and is host code alone.
const HOST_ONLY: &[&str] = &["executor", "registry.rs"];

/// The SHA-256, in hexadecimal, of the device source below `root` and of how these entries of it are compiled.
///
/// # Errors
/// A file cannot be read, or the root manifest has no profile `ptx`.
pub fn hash(root: &Path, entries: &[Entry]) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |name: &str, content: &[u8]| {
        hash.update(format!("{name}\0{}\0", content.len()));
        hash.update(content);
    };

    let source = root.join("kernels-gpu/src");
    for file in WalkDir::new(&source).sort_by_file_name() {
        let file = file?;
        let path = file.path().strip_prefix(&source)?;
        if file.file_type().is_file() && !HOST_ONLY.iter().any(|host| path.starts_with(host)) {
            let content = fs::read(file.path()).with_context(|| file.path().display().to_string())?;
            add(&path.to_string_lossy(), &content);
        }
    }

    let manifest: toml::Table = toml::from_str(&fs::read_to_string(root.join("Cargo.toml"))?)?;
    let profiles = manifest.get("profile").context("the root manifest has no profiles")?;
    for name in ["release", "ptx"] {
        let profile =
            profiles.get(name).with_context(|| format!("the root manifest has no profile `{name}`"))?;
        // Sorted, because a table's own order depends on the features that other crates ask of `toml`.
        let settings: BTreeMap<_, _> = profile.as_table().into_iter().flatten().collect();
        add(name, format!("{settings:?}").as_bytes());
    }
    add("recipe", recipe(entries).as_bytes());
    Ok(hex(&hash.finalize()))
}

/// The SHA-256, in hexadecimal, of how source becomes the entries' PTX: the steps' code, and what the registry says
/// that a step goes by.
#[must_use]
pub fn recipe(entries: &[Entry]) -> String {
    recipe_of(STEPS, entries)
}

fn recipe_of(steps: &[&[u8]], entries: &[Entry]) -> String {
    let mut hash = Sha256::new();
    for step in steps {
        hash.update(digest(step));
    }
    for entry in entries {
        let (target, version) = (entry.target.name(), entry.target.ptx_version());
        hash.update(format!("{} {target} {version} {} {}\n", entry.name, entry.threads, entry.blocks));
    }
    hex(&hash.finalize())
}

/// The SHA-256 of `content`, in hexadecimal.
#[must_use]
pub fn digest(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Target;

    use super::*;

    const ENTRY: Entry =
        Entry { name: "kernel", target: Target::Sm80, threads: 128, blocks: 1, shared_bytes: 0 };

    fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    const MANIFEST: (&str, &str) =
        ("Cargo.toml", "[profile.release]\nstrip = true\n[profile.ptx]\nlto = \"fat\"\n");
    const KERNEL: (&str, &str) = ("kernels-gpu/src/a/kernel.rs", "fn kernel() {}");

    #[test]
    fn every_input_changes_the_hash_and_host_code_does_not() {
        let hash_of = |files: &[(&str, &str)]| hash(repository(files).path(), &[ENTRY]).unwrap();
        let base = hash_of(&[MANIFEST, KERNEL]);
        assert_ne!(base, hash_of(&[MANIFEST, (KERNEL.0, "fn kernel() { }")]));
        assert_ne!(base, hash_of(&[MANIFEST, ("kernels-gpu/src/b/kernel.rs", KERNEL.1)]));
        assert_ne!(base, hash_of(&[("Cargo.toml", &MANIFEST.1.replace("fat", "thin")), KERNEL]));
        assert_ne!(base, hash_of(&[("Cargo.toml", &MANIFEST.1.replace("true", "false")), KERNEL]));
        assert_eq!(base, hash_of(&[MANIFEST, KERNEL, ("kernels-gpu/src/executor/ops.rs", "")]));
        assert_eq!(base, hash_of(&[MANIFEST, KERNEL, ("kernels-gpu/src/registry.rs", "")]));
        assert_eq!(base, hash_of(&[MANIFEST, KERNEL, ("host/src/lib.rs", "")]));
    }

    #[test]
    fn what_the_registry_says_of_an_entry_changes_the_hash() {
        let repository = repository(&[MANIFEST, KERNEL]);
        let hash_of = |entry| hash(repository.path(), &[entry]).unwrap();
        let base = hash_of(ENTRY);
        assert_ne!(base, hash_of(Entry { name: "kernel2", ..ENTRY }));
        assert_ne!(base, hash_of(Entry { target: Target::Sm90, ..ENTRY }));
        assert_ne!(base, hash_of(Entry { threads: 256, ..ENTRY }));
        assert_ne!(base, hash_of(Entry { blocks: 2, ..ENTRY }));
        assert_eq!(base, hash_of(Entry { shared_bytes: 16, ..ENTRY }), "it is no input of the compilation");
    }

    #[test]
    fn every_step_changes_the_recipe() {
        for index in 0..STEPS.len() {
            let mut edited: Vec<Vec<u8>> = STEPS.iter().map(|step| step.to_vec()).collect();
            edited[index].push(b'\n');
            let edited: Vec<&[u8]> = edited.iter().map(Vec::as_slice).collect();
            assert_ne!(recipe(&[ENTRY]), recipe_of(&edited, &[ENTRY]));
        }
        let holds = |text: &[u8]| STEPS.iter().any(|step| step.windows(text.len()).any(|part| part == text));
        assert!(holds(b"nvvm.maxntid") && holds(b"fn normalise") && holds(b"const PER_THREAD"));
        assert!(holds(b"const RUSTFLAGS"));
    }

    #[test]
    fn a_manifest_without_the_profile_is_an_error() {
        assert!(hash(repository(&[("Cargo.toml", "[profile.release]\n"), KERNEL]).path(), &[]).is_err());
    }
}
