//! The kernels and `core` as one module of unoptimised LLVM IR.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};
use dustin_kernels::registry::Entry;

use crate::{process, root, toolchain::Toolchain};

/// rustc's flags. The linker is a no-op because the IR is what is wanted, before any LLVM pass has run. Jump threading
/// duplicates barriers (rust-lang/rust#137086). Panic locations would make PTX depend on line numbers and folders.
pub const RUSTFLAGS: &[&str] = &[
    "-Ctarget-cpu=sm_90",
    "-Ctarget-feature=+ptx80",
    "-Clinker=/bin/true",
    "-Cno-prepopulate-passes",
    "-Zmir-enable-passes=-JumpThreading",
    "-Zlocation-detail=none",
];

/// Functions that the module holds at the least when `core` is in it; without, it holds a handful.
const LEAST_FUNCTIONS: usize = 500;

/// Compiles the kernels and returns the module's text.
///
/// # Errors
/// The build fails, or yields a module that lacks `core` or an entry: cargo and rustc succeed silently then.
pub fn module(toolchain: &Toolchain, entries: &[Entry]) -> Result<String> {
    let target_folder = root().join("target/device");
    let mut cargo = Command::new(&toolchain.cargo);
    // What the host's cargo has set for this process must not reach the device's.
    for variable in
        ["RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO", "RUSTDOC"]
    {
        cargo.env_remove(variable);
    }
    cargo
        .current_dir(root())
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"))
        .args("rustc -p dustin-kernels --locked --profile ptx --lib --crate-type cdylib".split(' '))
        .args("-Zbuild-std=core --target nvptx64-nvidia-cuda --target-dir".split(' '))
        .arg(&target_folder)
        .args(["--", "--emit=llvm-ir,link"]);
    process::output(&mut cargo).context("the device code does not compile")?;

    let file: PathBuf = target_folder.join("nvptx64-nvidia-cuda/ptx/deps/dustin_kernels.ll");
    let text = fs::read_to_string(&file).with_context(|| {
        format!("{} is missing; delete {} and try again", file.display(), target_folder.display())
    })?;
    check(&text, entries)?;
    Ok(text)
}

/// Whether the module holds `core` and every entry.
fn check(module: &str, entries: &[Entry]) -> Result<()> {
    let definitions: Vec<&str> = module.lines().filter(|line| line.starts_with("define ")).collect();
    let from_core = definitions.iter().filter(|line| line.contains("4core")).count();
    ensure!(
        definitions.len() >= LEAST_FUNCTIONS && from_core > 0,
        "the module holds {} functions, {from_core} of them from core: at least {LEAST_FUNCTIONS} were expected; \
         is the profile `ptx` in the root manifest, and the crate type `cdylib` alone?",
        definitions.len()
    );
    let defined = |entry: &&Entry| {
        !definitions
            .iter()
            .any(|line| line.contains("ptx_kernel") && line.contains(&format!("@{}(", entry.name)))
    };
    let missing: Vec<&str> = entries.iter().filter(defined).map(|entry| entry.name).collect();
    if !missing.is_empty() {
        bail!("the registry's entries are not in the module: {}", missing.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::Target;

    use super::*;

    const ENTRY: Entry =
        Entry { name: "kernel", target: Target::Sm80, threads: 128, blocks: 1, shared_bytes: 0 };

    fn module_of(functions: usize, core: bool) -> String {
        let mut module = String::from("define ptx_kernel void @kernel(i64 %x) unnamed_addr #0 {\n");
        for index in 0..functions {
            let name = if core { "NtC_4core3fmt" } else { "NtC_5other" };
            module += &format!("define void @_R{name}{index}() {{\n");
        }
        module
    }

    #[test]
    fn a_module_without_core_is_refused() {
        assert!(check(&module_of(1000, true), &[ENTRY]).is_ok());
        assert!(check(&module_of(1000, false), &[ENTRY]).is_err());
        assert!(check(&module_of(4, true), &[ENTRY]).is_err());
    }

    #[test]
    fn a_missing_entry_is_named() {
        let other = Entry { name: "kern", ..ENTRY };
        let error = check(&module_of(1000, true), &[ENTRY, other]).unwrap_err().to_string();
        assert!(error.ends_with("not in the module: kern"), "{error}");
    }
}
