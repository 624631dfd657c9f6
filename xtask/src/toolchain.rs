//! The device toolchain: rustc with its own `rust-src`, and the `opt` and `llc` of the same LLVM.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process;

/// The rustc release that the recipe was proven with, and the oldest that is accepted.
const RELEASE: (u32, u32, u32) = (1, 96, 0);
/// Names the rustc to use; its cargo lies beside it.
const RUSTC_VARIABLE: &str = "DUSTIN_DEVICE_RUSTC";
/// Names the folder that holds `opt` and `llc`.
const LLVM_VARIABLE: &str = "DUSTIN_DEVICE_LLVM";

/// The programs that turn kernels into PTX.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// rustc, whose sysroot holds the source of `core`.
    pub rustc: PathBuf,
    /// The cargo that belongs to it.
    pub cargo: PathBuf,
    /// LLVM's optimiser.
    pub opt: PathBuf,
    /// LLVM's code generator.
    pub llc: PathBuf,
    /// rustc's release, such as `1.96.0`.
    pub rustc_release: String,
    /// The version of `opt` and `llc`, such as `22.1.8`.
    pub llvm_version: String,
}

/// No device toolchain was found; one reason per place that was looked at.
#[derive(Debug)]
pub struct Missing(pub Vec<String>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "there is no device toolchain here:")?;
        for reason in &self.0 {
            writeln!(f, "  - {reason}")?;
        }
        let (major, minor, patch) = RELEASE;
        writeln!(f, "install one of")?;
        writeln!(
            f,
            "  apt-get install --no-install-recommends rustc-web cargo-web rust-web-src llvm-22   (Debian 12)"
        )?;
        writeln!(
            f,
            "  rustup toolchain install {major}.{minor}.{patch} --component rust-src --component llvm-tools"
        )?;
        write!(f, "or set {RUSTC_VARIABLE} (a rustc) and {LLVM_VARIABLE} (a folder that holds opt and llc)")
    }
}

impl std::error::Error for Missing {}

/// Finds the device toolchain: the one that the environment names, else Debian's, else rustup's.
///
/// # Errors
/// [`Missing`], with what each place lacks and what to install.
pub fn find() -> Result<Toolchain, Missing> {
    let candidates = match env::var_os(RUSTC_VARIABLE) {
        Some(rustc) => vec![PathBuf::from(rustc)],
        None => vec![PathBuf::from("/usr/bin/rustc"), rustup_rustc()],
    };
    let mut reasons = Vec::new();
    for rustc in candidates {
        match probe(&rustc) {
            Ok(toolchain) => return Ok(toolchain),
            Err(reason) => reasons.push(format!("{}: {reason}", rustc.display())),
        }
    }
    Err(Missing(reasons))
}

/// Where rustup keeps the rustc of the proven release.
fn rustup_rustc() -> PathBuf {
    let home = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".rustup")))
        .unwrap_or_default();
    let (major, minor, patch) = RELEASE;
    let prefix = format!("{major}.{minor}.{patch}-");
    let toolchains = home.join("toolchains");
    let installed = fs::read_dir(&toolchains)
        .into_iter()
        .flatten()
        .flatten()
        .find(|toolchain| toolchain.file_name().to_string_lossy().starts_with(&prefix));
    match installed {
        Some(toolchain) => toolchain.path().join("bin/rustc"),
        None => toolchains.join(format!("{prefix}…/bin/rustc")),
    }
}

/// The toolchain around one rustc, or what it lacks.
fn probe(rustc: &Path) -> Result<Toolchain, String> {
    if !rustc.is_file() {
        return Err("not installed".into());
    }
    let ask = |argument: &str| {
        let answer =
            process::output(Command::new(rustc).env_remove("RUSTUP_TOOLCHAIN").args(argument.split(' ')));
        answer.map(|(stdout, _)| stdout).map_err(|error| error.to_string())
    };
    let version = ask("-vV")?;
    let release = field(&version, "release: ")?;
    let parsed = parse_release(release).ok_or_else(|| format!("unreadable release {release}"))?;
    if parsed < RELEASE {
        let (major, minor, patch) = RELEASE;
        return Err(format!("release {release} is older than {major}.{minor}.{patch}"));
    }
    let sysroot = PathBuf::from(ask("--print sysroot")?.trim());
    if !sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file() {
        return Err("its source of core (rust-src, rust-web-src) is not installed".into());
    }
    let cargo = rustc.with_file_name("cargo");
    if !cargo.is_file() {
        return Err("no cargo beside it".into());
    }
    let llvm_major = field(&version, "LLVM version: ")?.split('.').next().unwrap_or_default().to_owned();
    let folder = llvm_folder(&sysroot, field(&version, "host: ")?, &llvm_major)?;
    let (opt, llc) = (folder.join("opt"), folder.join("llc"));
    let (answer, _) =
        process::output(Command::new(&opt).arg("--version")).map_err(|error| error.to_string())?;
    let llvm_version = answer
        .lines()
        .find_map(|line| line.split_once("LLVM version ").map(|(_, version)| version.trim().to_owned()))
        .ok_or_else(|| format!("{} does not say its version", opt.display()))?;
    if llvm_version.split('.').next() != Some(llvm_major.as_str()) {
        return Err(format!("{} is LLVM {llvm_version}, rustc's is {llvm_major}", opt.display()));
    }
    Ok(Toolchain {
        rustc: rustc.to_owned(),
        cargo,
        opt,
        llc,
        rustc_release: release.to_owned(),
        llvm_version,
    })
}

/// The folder that holds `opt` and `llc` of rustc's LLVM. A bare `opt` on the PATH may be years older and fails.
fn llvm_folder(sysroot: &Path, host: &str, major: &str) -> Result<PathBuf, String> {
    let folders = match env::var_os(LLVM_VARIABLE) {
        Some(folder) => vec![PathBuf::from(folder)],
        None => vec![
            sysroot.join("lib/rustlib").join(host).join("bin"),
            PathBuf::from(format!("/usr/lib/llvm-{major}/bin")),
        ],
    };
    let complete = |folder: &&PathBuf| folder.join("opt").is_file() && folder.join("llc").is_file();
    folders.iter().find(complete).cloned().ok_or_else(|| {
        let tried: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!("no opt and llc of LLVM {major} in {}", tried.join(" or "))
    })
}

fn field<'a>(version: &'a str, name: &str) -> Result<&'a str, String> {
    version
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .ok_or_else(|| format!("rustc -vV has no line \"{name}\""))
}

fn parse_release(release: &str) -> Option<(u32, u32, u32)> {
    let numbers = release.split('-').next()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(parse_release("1.96.0"), Some((1, 96, 0)));
        assert_eq!(parse_release("1.100.0-nightly"), Some((1, 100, 0)));
        assert_eq!(parse_release("1.96"), None);
        assert!(parse_release("1.100.0") > parse_release("1.96.0"));
    }

    #[test]
    fn a_missing_toolchain_says_what_was_missing_and_what_to_install() {
        let message = Missing(vec!["/usr/bin/rustc: not installed".into()]).to_string();
        for part in
            ["/usr/bin/rustc: not installed", "rust-web-src llvm-22", "rustup toolchain install 1.96.0"]
        {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }

    #[test]
    fn a_rustc_that_does_not_exist_is_reported_and_not_run() {
        assert_eq!(probe(Path::new("/nowhere/rustc")).err().as_deref(), Some("not installed"));
    }
}
