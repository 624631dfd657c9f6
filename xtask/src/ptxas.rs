//! NVIDIA's PTX assembler: a check without a GPU, and its report of resources. The driver's own assembler compiles
//! what runs on a user's machine, so the report is a guide.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use dustin_kernels::registry::{Entry, Target};

use crate::{occupancy::Multiprocessor, process, root};

/// Names the assembler to use.
const VARIABLE: &str = "PTXAS";
/// The package that holds the assembler, and its version.
const PACKAGE: &str = "nvidia-cuda-nvcc==13.5.37";
/// Where the package holds it.
const PATH_IN_PACKAGE: &str = "nvidia/cu13/bin/ptxas";

/// An assembler that was found.
#[derive(Clone, Debug)]
pub struct Ptxas {
    path: PathBuf,
    version: String,
}

/// What one entry takes on one GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Registers of one thread.
    pub registers: u32,
    /// Bytes of the stack frame.
    pub stack: u32,
    /// Bytes of registers spilled, stores and loads.
    pub spills: u32,
}

/// The GPUs that an entry is assembled for: those that its target names and whose shared memory holds its block.
#[must_use]
pub fn architectures(entry: &Entry) -> Vec<&'static str> {
    let named: &[&str] = match entry.target {
        Target::Sm80 => &["sm_80", "sm_90"],
        Target::Sm90 => &["sm_90"],
        Target::Sm90a => &["sm_90a"],
    };
    let holds = |gpu: &&str| Multiprocessor::of(gpu).is_some_and(|sm| sm.holds(entry.shared_bytes));
    named.iter().copied().filter(holds).collect()
}

/// Finds the assembler: the one that `PTXAS` names, else what [`install`] has installed, the PATH, `/usr/local/cuda`.
///
/// # Errors
/// What `PTXAS` names is not an assembler: another one in its place would be a surprise.
pub fn find() -> Result<Option<Ptxas>> {
    match env::var_os(VARIABLE) {
        Some(path) => named(path.into()).map(Some),
        None => Ok(find_unnamed()),
    }
}

/// The assembler that [`VARIABLE`] names.
fn named(path: PathBuf) -> Result<Ptxas> {
    Ptxas::at(path).with_context(|| format!("{VARIABLE} does not name an assembler"))
}

fn find_unnamed() -> Option<Ptxas> {
    let on_path = env::var_os("PATH")
        .map(|path| env::split_paths(&path).map(|folder| folder.join("ptxas")).collect::<Vec<_>>())
        .unwrap_or_default();
    [folder().join(PATH_IN_PACKAGE)]
        .into_iter()
        .chain(on_path)
        .chain([PathBuf::from("/usr/local/cuda/bin/ptxas")])
        .find_map(|path| Ptxas::at(path).ok())
}

/// Installs the assembler below `target/`, unless one is found.
///
/// # Errors
/// As [`find`], there is no Python with pip, or the package cannot be downloaded or unpacked.
pub fn install() -> Result<Ptxas> {
    if let Some(ptxas) = find()? {
        return Ok(ptxas);
    }
    let folder = folder();
    println!("installing {PACKAGE} into {}", folder.display());
    fs::create_dir_all(&folder)?;
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest"];
    process::output(Command::new("python3").args(pip).arg(&folder).arg(PACKAGE))
        .context("ptxas is installed with pip; install python3 and its pip, or set PTXAS")?;
    let wheel = fs::read_dir(&folder)?
        .flatten()
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip has downloaded no wheel")?;
    process::output(Command::new("python3").args(["-m", "zipfile", "-e"]).args([&wheel, &folder]))?;
    fs::remove_file(&wheel)?;
    let path = folder.join(PATH_IN_PACKAGE);
    make_executable(&path)?;
    Ptxas::at(path)
}

/// Python's zip module loses the execute bit.
fn make_executable(path: &Path) -> Result<()> {
    process::output(Command::new("chmod").arg("+x").arg(path)).map(|_| ())
}

fn folder() -> PathBuf {
    root().join("target/nvcc")
}

impl Ptxas {
    fn at(path: PathBuf) -> Result<Self> {
        ensure!(path.is_file(), "{} does not exist", path.display());
        let (answer, _) = process::output(Command::new(&path).arg("--version"))?;
        let version = answer
            .split_once(", V")
            .and_then(|(_, version)| version.split_whitespace().next())
            .with_context(|| format!("{} does not say its version", path.display()))?
            .to_owned();
        Ok(Self { path, version })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, such as `13.5.37`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Assembles the file `ptx` for `architecture`.
    ///
    /// # Errors
    /// The PTX is refused, or the report cannot be read.
    pub fn assemble(&self, ptx: &Path, architecture: &str) -> Result<Usage> {
        let cubin = ptx.with_extension(format!("{architecture}.cubin"));
        let (stdout, stderr) = process::output(
            Command::new(&self.path)
                .arg(format!("-arch={architecture}"))
                .args(["-v", "-o"])
                .args([&cubin, ptx]),
        )?;
        parse(&(stdout + &stderr))
            .with_context(|| format!("ptxas' report on {} is not understood", ptx.display()))
    }
}

/// The usage in a verbose report: of all functions in it, the largest.
fn parse(report: &str) -> Result<Usage> {
    let mut usage = Usage::default();
    let (mut frames, mut entries) = (0, 0);
    for line in report.lines() {
        if let Some([stack, stores, loads]) = frame(line) {
            usage.stack = usage.stack.max(stack);
            usage.spills = usage.spills.max(stores + loads);
            frames += 1;
        }
        if let Some((_, used)) = line.split_once("Used ") {
            let number = used.split(' ').next().unwrap_or_default();
            usage.registers = usage.registers.max(number.parse().with_context(|| line.to_owned())?);
            entries += 1;
        }
    }
    if frames == 0 || entries == 0 {
        bail!("{report}");
    }
    Ok(usage)
}

/// Stack frame, spill stores and spill loads, of a line that states them.
fn frame(line: &str) -> Option<[u32; 3]> {
    let number = |part: &str, what: &str| part.trim().strip_suffix(what)?.trim().parse().ok();
    let mut parts = line.split(',');
    Some([
        number(parts.next()?, "bytes stack frame")?,
        number(parts.next()?, "bytes spill stores")?,
        number(parts.next()?, "bytes spill loads")?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "ptxas info    : 0 bytes gmem\n\
        ptxas info    : Compiling entry function 'kernel' for 'sm_80'\n\
        ptxas info    : Function properties for kernel\n    \
            16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads\n\
        ptxas info    : Used 138 registers, used 1 barriers, 16 bytes cumulative stack size, 584 bytes cmem[0]\n";

    #[test]
    fn an_entry_is_assembled_only_for_gpus_that_can_hold_a_block() {
        let entry = |target, kibibytes: u32| Entry {
            name: "kernel",
            target,
            threads: 128,
            blocks: 1,
            shared_bytes: kibibytes * 1024,
        };
        assert_eq!(architectures(&entry(Target::Sm80, 163)), ["sm_80", "sm_90"]);
        assert_eq!(architectures(&entry(Target::Sm80, 164)), ["sm_90"]);
        assert_eq!(architectures(&entry(Target::Sm90, 0)), ["sm_90"]);
        assert_eq!(architectures(&entry(Target::Sm90a, 0)), ["sm_90a"]);
    }

    #[test]
    fn a_named_path_without_an_assembler_is_an_error_that_says_so() {
        for path in ["/nowhere/ptxas", "/bin/true", "/bin/false"] {
            let error = named(path.into()).unwrap_err();
            assert_eq!(error.to_string(), "PTXAS does not name an assembler");
            assert!(format!("{error:#}").contains(path), "{error:#}");
        }
    }

    #[test]
    fn a_report_is_read() {
        assert_eq!(parse(REPORT).unwrap(), Usage { registers: 138, stack: 16, spills: 12 });
    }

    #[test]
    fn a_report_without_an_entry_is_an_error() {
        assert!(parse("ptxas info    : 0 bytes gmem\n").is_err());
        assert!(parse(&REPORT.replace("Used 138", "Used many")).is_err());
    }
}
