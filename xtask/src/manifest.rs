//! `kernels-gpu/ptx/manifest.toml`: what the checked-in PTX was made from, and what each entry takes.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

use crate::{ptx::Built, source};

/// The file's name, beside the PTX.
pub const FILE: &str = "manifest.toml";

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`source::hash`] of the source.
    pub source: String,
    /// What compiled it.
    pub toolchain: Versions,
    /// The entries, by name.
    pub entry: BTreeMap<String, Record>,
}

/// Versions of the programs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// rustc's release.
    pub rustc: String,
    /// Version of `opt` and `llc`.
    pub llvm: String,
    /// Version of the assembler that counted the resources; nothing if there was none.
    pub ptxas: Option<String>,
}

/// What is known of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The lowest GPU that it runs on, as PTX names it.
    pub target: String,
    /// Threads in a block.
    pub threads: u32,
    /// Dynamic shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Registers of a thread, by the GPU assembled for.
    pub registers: BTreeMap<String, u32>,
    /// The most bytes of stack on any of them.
    pub stack_bytes: u32,
    /// The most bytes of spills on any of them.
    pub spill_bytes: u32,
}

impl Record {
    /// The record of an entry just built.
    #[must_use]
    pub fn of(built: &Built) -> Self {
        Self {
            target: built.entry.target.name().to_owned(),
            threads: built.entry.threads,
            shared_bytes: built.entry.shared_bytes,
            sha256: source::digest(built.ptx.as_bytes()),
            registers: built.usage.iter().map(|(gpu, usage)| ((*gpu).to_owned(), usage.registers)).collect(),
            stack_bytes: built.usage.iter().map(|(_, usage)| usage.stack).max().unwrap_or(0),
            spill_bytes: built.usage.iter().map(|(_, usage)| usage.spills).max().unwrap_or(0),
        }
    }
}

/// TOML, one short table per entry, so that a change of one kernel is a change of a few lines.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Written by `cargo xtask ptx`. Do not edit.\n")?;
        writeln!(f, "source = \"{}\"\n", self.source)?;
        writeln!(f, "[toolchain]\nrustc = \"{}\"\nllvm = \"{}\"", self.toolchain.rustc, self.toolchain.llvm)?;
        if let Some(ptxas) = &self.toolchain.ptxas {
            writeln!(f, "ptxas = \"{ptxas}\"")?;
        }
        for (name, record) in &self.entry {
            writeln!(f, "\n[entry.{name}]\ntarget = \"{}\"\nthreads = {}", record.target, record.threads)?;
            writeln!(f, "shared_bytes = {}\nsha256 = \"{}\"", record.shared_bytes, record.sha256)?;
            let registers: Vec<String> =
                record.registers.iter().map(|(gpu, registers)| format!("{gpu} = {registers}")).collect();
            writeln!(f, "registers = {{ {} }}", registers.join(", "))?;
            writeln!(f, "stack_bytes = {}\nspill_bytes = {}", record.stack_bytes, record.spill_bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let record = Record {
            target: "sm_80".into(),
            threads: 128,
            shared_bytes: 16,
            sha256: "00ff".into(),
            registers: BTreeMap::from([("sm_80".into(), 96), ("sm_90".into(), 90)]),
            stack_bytes: 8,
            spill_bytes: 4,
        };
        let bare = Record { registers: BTreeMap::new(), stack_bytes: 0, spill_bytes: 0, ..record.clone() };
        for ptxas in [None, Some("13.5.37".to_owned())] {
            let manifest = Manifest {
                source: "abc".into(),
                toolchain: Versions { rustc: "1.96.0".into(), llvm: "22.1.8".into(), ptxas },
                entry: BTreeMap::from([("a".into(), record.clone()), ("b".into(), bare.clone())]),
            };
            assert_eq!(toml::from_str::<Manifest>(&manifest.to_string()).unwrap(), manifest);
        }
    }
}
