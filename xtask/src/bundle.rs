//! The command `bundle`: everything that a machine with a GPU driver and nothing else needs, in one folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use walkdir::WalkDir;

use crate::{process, root};

/// The script that runs what the folder holds.
const RUN: &str = include_str!("../bundle/run");
const README: &str =
    "Dustin's GPU tests, benchmarks and autotune: `./run --help`. Needs a GPU driver and nothing else.\n";
/// The scripts that time the peers: they need PyTorch, and without it `run` skips them.
const PEERS: &str = "peers";
/// The host's half of the kernels is a hundred bodies for the executor, which nothing in a bundle runs: optimising
/// them would take most of the build.
const QUICK_KERNELS: &str = "profile.release.package.dustin-kernels.opt-level=0";
/// The most that a bundle may take, in bytes: seven programs and a library, each with up to 16 MiB of PTX.
const SIZE_LIMIT: u64 = 176 << 20;

/// The Python package: its modules, beside which the library lies as in a wheel, its tests, and the documents whose snippets these
/// run. Folders, kinds of files in them, and where those go.
const PYTHON: [(&str, &str, &str); 7] = [
    ("python", "toml", "python"),
    ("python/dustin", "py", "python/dustin"),
    ("python/tests", "py", "python/tests"),
    ("python/tests", "c", "python/tests"),
    ("capi/include", "h", "python/dustin"),
    ("docs", "md", "docs"),
    ("", "md", ""),
];

/// A program or library that cargo builds, and the folder of the bundle that it goes to.
struct Program {
    package: &'static str,
    /// What kind of target cargo calls it.
    kind: &'static str,
    /// Whether a target's name is one of those wanted.
    wanted: fn(&str) -> bool,
    folder: &'static str,
}

const PROGRAMS: [Program; 6] = [
    Program {
        package: "dustin-tests",
        kind: "test",
        wanted: |name| name.starts_with("gpu"),
        folder: "tests",
    },
    Program {
        package: "dustin-autotune",
        kind: "test",
        wanted: |name| name.starts_with("gpu"),
        folder: "tests",
    },
    Program { package: "dustin-benches", kind: "bench", wanted: |_| true, folder: "benches" },
    Program { package: "dustin-autotune", kind: "bin", wanted: |name| name == "autotune", folder: "bin" },
    Program { package: "dustin", kind: "example", wanted: |name| name == "verify_step", folder: "examples" },
    Program { package: "dustin-c", kind: "cdylib", wanted: |_| true, folder: "python/dustin" },
];

/// Builds the programs and packs them into `out`, replacing a bundle that lies there; with `only` no more than that folder of it
/// and the profiles.
///
/// # Errors
/// A build fails, there is no folder `only`, `out` holds something else than a bundle, or the bundle is too large.
pub fn pack(out: &Path, only: Option<&str>) -> Result<()> {
    let is_packed = |folder: &str| only.is_none_or(|only| folder.split('/').next() == Some(only));
    let folders: Vec<&str> = PROGRAMS.iter().map(|program| program.folder).chain([PEERS]).collect();
    ensure!(
        folders.iter().any(|folder| is_packed(folder)),
        "of a bundle's folders {folders:?} none is {only:?}"
    );
    if out.exists() {
        let is_empty = fs::read_dir(out)?.next().is_none();
        ensure!(is_empty || is_bundle(out), "{} is not a bundle; it is left alone", out.display());
        fs::remove_dir_all(out)?;
    }
    // The README first: by it an interrupted bundle is known for one and replaced.
    fs::create_dir_all(out)?;
    fs::write(out.join("README"), README)?;
    let run = out.join("run");
    fs::write(&run, RUN)?;
    process::output(Command::new("chmod").arg("+x").arg(&run))?;

    let targets = targets()?;
    for program in PROGRAMS.iter().filter(|program| is_packed(program.folder)) {
        let folder = out.join(program.folder);
        fs::create_dir_all(&folder)?;
        for (name, file) in build(program, &targets)? {
            fs::copy(&file, folder.join(name)).with_context(|| file.display().to_string())?;
        }
    }
    copy_of_kind(&root().join("profiles"), "toml", &out.join("profiles"))?;
    if is_packed(PEERS) {
        copy_of_kind(&root().join("benches").join(PEERS), "py", &out.join(PEERS))?;
    }
    if is_packed("python") {
        for (from, kind, to) in PYTHON {
            copy_of_kind(&root().join(from), kind, &out.join(to))?;
        }
    }

    let size = size(out)?;
    ensure!(size <= SIZE_LIMIT, "the bundle takes {} MiB, more than {}", size >> 20, SIZE_LIMIT >> 20);
    println!("{}: {:.1} MiB", out.display(), size as f64 / f64::from(1 << 20));
    Ok(())
}

/// Whether [`pack`] has made the folder, and so may delete it.
fn is_bundle(folder: &Path) -> bool {
    fs::read_to_string(folder.join("README")).is_ok_and(|readme| readme == README)
}

/// What `cargo metadata` says of the workspace.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Clone, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The line that cargo prints for each thing it has built.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
    filenames: Vec<PathBuf>,
}

impl Artifact {
    /// The program or shared library, and its name in the bundle.
    fn file(self) -> Option<(String, PathBuf)> {
        let Some(executable) = self.executable else {
            let library =
                self.filenames.into_iter().find(|file| file.extension().is_some_and(|it| it == "so"))?;
            return Some((library.file_name()?.to_str()?.to_owned(), library));
        };
        Some((self.target.name, executable))
    }
}

fn targets() -> Result<Vec<Package>> {
    let (stdout, _) = process::output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    Ok(serde_json::from_str::<Metadata>(&stdout)?.packages)
}

/// Builds the program's targets and returns the name and file of each.
fn build(program: &Program, packages: &[Package]) -> Result<Vec<(String, PathBuf)>> {
    let is_wanted = |target: &Target| {
        target.kind.iter().any(|kind| kind == program.kind) && (program.wanted)(&target.name)
    };
    let wanted: Vec<&str> = packages
        .iter()
        .filter(|package| package.name == program.package)
        .flat_map(|package| package.targets.iter().filter(|target| is_wanted(target)))
        .map(|target| target.name.as_str())
        .collect();
    if wanted.is_empty() {
        println!("{}: no {} to pack", program.package, program.kind);
        return Ok(Vec::new());
    }
    println!("building {}: {}", program.package, wanted.join(", "));
    let mut cargo = cargo();
    match program.kind {
        // As a test an example would be its own tests.
        "bin" | "example" | "cdylib" => cargo.args(["build", "--release"]),
        _ => cargo.args(["test", "--no-run", "--release"]),
    };
    cargo.args([
        "--locked",
        "--message-format=json",
        "--package",
        program.package,
        "--config",
        QUICK_KERNELS,
    ]);
    for name in &wanted {
        match program.kind {
            "cdylib" => cargo.arg("--lib"),
            kind => cargo.arg(format!("--{kind}")).arg(name),
        };
    }
    let (stdout, _) = process::output(&mut cargo)?;
    let built: Vec<(String, PathBuf)> = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter(|artifact| is_wanted(&artifact.target))
        .filter_map(Artifact::file)
        .collect();
    ensure!(built.len() == wanted.len(), "of {} cargo has built {built:?}", wanted.join(", "));
    Ok(built)
}

/// The cargo that runs this command, in the repository's root.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Copies the files with this extension; the folder exists also where there are none.
fn copy_of_kind(from: &Path, extension: &str, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for file in WalkDir::new(from).max_depth(1) {
        let file = file?;
        if file.path().extension().is_some_and(|own| own == extension) {
            fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
}

fn size(folder: &Path) -> Result<u64> {
    WalkDir::new(folder).into_iter().map(|file| Ok(file?.metadata()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bundle whose tests are these shell scripts.
    fn bundle(tests: &[(&str, &str)]) -> tempfile::TempDir {
        let bundle = tempfile::tempdir().unwrap();
        for folder in ["tests", "benches", "bin", "profiles"] {
            fs::create_dir(bundle.path().join(folder)).unwrap();
        }
        fs::write(bundle.path().join("run"), RUN).unwrap();
        for (name, body) in tests {
            script(&bundle, &format!("tests/{name}"), body);
        }
        bundle
    }

    /// Adds a shell script.
    fn script(bundle: &tempfile::TempDir, name: &str, body: &str) {
        let path = bundle.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        process::output(Command::new("chmod").arg("+x").arg(&path)).unwrap();
    }

    /// Runs the script `run`, for which the bundle's script `python` is Python, and returns its last lines and whether it
    /// succeeded.
    fn run(bundle: &tempfile::TempDir, arguments: &[&str]) -> (String, bool) {
        let output = Command::new("bash")
            .arg(bundle.path().join("run"))
            .args(arguments)
            .env("OUT", bundle.path().join("out"))
            .env("PYTHON", bundle.path().join("python"))
            .env("LIMIT", "2")
            .output()
            .unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.success())
    }

    const PASS: &str = "echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'";

    #[test]
    fn programs_that_pass_are_a_success_with_their_counts() {
        let (text, success) = run(&bundle(&[("gpu", PASS)]), &["tests"]);
        assert!(success, "{text}");
        assert!(text.contains("3 passed; 0 failed; 1 ignored"), "{text}");
        assert!(text.contains("1 passed, 0 failed, 0 skipped"), "{text}");
    }

    #[test]
    fn a_failure_or_a_hang_does_not_stop_the_others_and_fails_in_the_end() {
        let (text, success) = run(&bundle(&[("a", "exit 7"), ("b", "sleep 60"), ("c", PASS)]), &["tests"]);
        assert!(!success, "{text}");
        for part in ["exit code 7", "stopped after 2 s", "1 passed, 2 failed, 0 skipped"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn a_program_that_ran_no_test_is_not_a_pass() {
        let nothing = PASS.replace("3 passed", "0 passed").replace("1 ignored", "0 ignored");
        let (text, success) = run(&bundle(&[("gpu", &nothing)]), &["tests"]);
        assert!(!success && text.contains("no test ran"), "{text}");
        let ignored = PASS.replace("3 passed", "0 passed");
        let (text, _) = run(&bundle(&[("gpu", &ignored)]), &["tests"]);
        assert!(text.contains("0 passed, 0 failed, 1 skipped"), "{text}");
    }

    #[test]
    fn programs_are_told_to_require_a_gpu_and_get_the_further_arguments() {
        let script = format!("test \"$DUSTIN_REQUIRE_GPU\" = 1 && test \"$1\" = filter && {PASS}");
        let (text, success) = run(&bundle(&[("gpu", &script)]), &["tests", "filter"]);
        assert!(success, "{text}");
    }

    #[test]
    fn without_pytorch_the_peers_are_skipped_and_the_stored_times_serve() {
        let bundle = bundle(&[]);
        script(&bundle, "python", "exit 1");
        script(&bundle, "benches/table", "echo \"table $*\"");
        let (text, _) = run(&bundle, &["peers"]);
        assert!(text.contains("there is no PyTorch for "), "{text}");
        assert!(text.contains("0 passed, 0 failed, 1 skipped"), "{text}");
        let (text, success) = run(&bundle, &["bench"]);
        assert!(success && text.lines().any(|line| line == "table --bench"), "{text}");
    }

    #[test]
    fn times_of_peers_are_passed_on_to_the_tables_alone() {
        let bundle = bundle(&[]);
        // Called with `-c …`, then with the script and `--output FILE`.
        script(&bundle, "python", "test $# = 2 || echo figure > \"$3\"");
        script(&bundle, "benches/table", "echo \"table $*\"");
        script(&bundle, "benches/step", "echo \"step $*\"");
        script(&bundle, "benches/kernels", "echo \"kernels $*\"");
        let (text, success) = run(&bundle, &["peers"]);
        assert!(success, "{text}");
        let (text, success) = run(&bundle, &["bench", "w1"]);
        assert!(success, "{text}");
        for line in [
            "table --bench --peers peers.jsonl w1",
            "step --bench --peers peers.jsonl w1",
            "kernels --bench w1",
        ] {
            assert!(text.lines().any(|printed| printed == line), "{line} is not in {text}");
        }
    }

    #[test]
    fn the_example_runs_on_the_gpu_with_the_further_arguments() {
        let bundle = bundle(&[]);
        fs::create_dir(bundle.path().join("examples")).unwrap();
        script(&bundle, "examples/verify_step", "echo \"step $*\"");
        let (text, success) = run(&bundle, &["example", "--batch", "4"]);
        assert!(success && text.lines().any(|line| line == "step --device cuda --batch 4"), "{text}");
    }

    #[test]
    fn python_runs_the_packages_tests_and_requires_a_gpu() {
        let bundle = bundle(&[]);
        let body = "test \"$1\" = -c && exit\ntest \"$DUSTIN_REQUIRE_GPU\" = 1 || exit 9\n\
                    echo \"$PYTHONPATH: $*\"\necho '==== 7 passed, 2 skipped in 1.25s ===='";
        script(&bundle, "python", body);
        let (text, success) = run(&bundle, &["python", "-x"]);
        let package = bundle.path().join("python");
        assert!(success && text.contains("7 passed, 2 skipped\n1 passed, 0 failed, 0 skipped"), "{text}");
        let said = format!("{}: -m pytest -p no:cacheprovider {0}/tests -x", package.display());
        assert!(text.lines().any(|line| line == said), "{said} is not in {text}");
    }

    #[test]
    fn python_tests_that_are_all_skipped_or_cannot_run_are_no_pass() {
        let bundle = bundle(&[]);
        script(&bundle, "python", "test \"$1\" = -c || echo '9 skipped in 0.10s'");
        assert!(run(&bundle, &["python"]).0.contains("0 passed, 0 failed, 1 skipped"));
        script(&bundle, "python", "exit 1");
        let (text, success) = run(&bundle, &["python"]);
        assert!(!success && text.contains("there is no numpy, pytest or PyTorch"), "{text}");
        script(&bundle, "python", "test \"$1\" = -c && exit\necho '1 failed, 3 passed in 0.10s'\nexit 1");
        assert!(run(&bundle, &["python"]).0.contains("exit code 1"));
    }

    #[test]
    fn a_folder_that_no_bundle_has_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = pack(folder.path(), Some("nonsense")).unwrap_err().to_string();
        assert!(error.contains("nonsense"), "{error}");
    }

    #[test]
    fn an_unknown_command_is_refused() {
        assert!(!run(&bundle(&[("gpu", PASS)]), &["test"]).1);
    }

    #[test]
    fn a_folder_that_is_not_a_bundle_is_left_alone() {
        for (foreign, content) in [("thesis.txt", ""), ("run", RUN), ("README", "Not Dustin's.\n")] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(foreign), content).unwrap();
            let error = pack(folder.path(), None).unwrap_err().to_string();
            assert!(error.ends_with("is not a bundle; it is left alone"), "{error}");
            assert_eq!(fs::read_to_string(folder.path().join(foreign)).unwrap(), content);
        }
    }

    #[test]
    fn an_interrupted_bundle_is_known_for_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_bundle(folder.path()));
        fs::write(folder.path().join("README"), README).unwrap();
        assert!(is_bundle(folder.path()));
    }
}
