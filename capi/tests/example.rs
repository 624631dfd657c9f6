//! The example in C, compiled against the header, linked to the shared library, and run.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Where cargo has put the library that belongs to this test: beside it, or a folder above.
fn library_folder() -> Result<PathBuf, Failed> {
    let test = env::current_exe()?;
    let mut folders = test.ancestors().skip(1).take(2);
    let found = folders.find(|folder| folder.join("libdustin_c.so").exists());
    Ok(found.ok_or("libdustin_c.so is not beside the test")?.to_owned())
}

/// Compiles the example with `compiler`, every warning an error, and gives what it prints.
fn run(compiler: &str, language: &[&str]) -> Result<String, Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (libraries, folder) = (library_folder()?, tempfile::tempdir()?);
    let program = folder.path().join("verify");
    let mut compile = Command::new(compiler);
    compile.args(language).args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]);
    compile.arg("-I").arg(root.join("include")).arg(root.join("examples/verify.c"));
    // What follows is no source: the language is the linker's again.
    compile.args(["-x", "none", "-L"]).arg(&libraries).args(["-ldustin_c", "-lm"]);
    compile.arg(format!("-Wl,-rpath,{}", libraries.display())).arg("-o").arg(&program);
    let output = compile.output().map_err(|error| format!("{compiler} cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{compiler}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let output = Command::new(&program).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(text)
}

/// Refuses an output without what the example has to find.
fn require_findings(text: &str) -> Result<Completion, Failed> {
    for line in [
        "ok   the needle has the highest score",
        "ok   the set is full and has the needle",
        "ok   where the set covers the context, sparse attention is full attention",
    ] {
        if !text.lines().any(|found| found == line) {
            return Err(format!("{line:?} is not in what the example prints:\n{text}").into());
        }
    }
    Ok(Completion::Completed)
}

fn c11() -> Result<Completion, Failed> {
    require_findings(&run("cc", &["-std=c11"])?)
}

fn cpp17() -> Result<Completion, Failed> {
    // Rust needs a C compiler to link, but none for C++.
    if Command::new("c++").arg("--version").output().is_err() {
        return Ok(Completion::ignored_with("there is no C++ compiler"));
    }
    require_findings(&run("c++", &["-x", "c++", "-std=c++17"])?)
}

fn main() -> ExitCode {
    let trials = vec![
        Trial::ignorable_test("the_example_compiles_as_c11_without_a_warning_and_finds_its_needle", c11),
        Trial::ignorable_test("the_example_compiles_as_cpp17_without_a_warning_and_finds_its_needle", cpp17),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
