//! The guide to linking: its snippets in C and for CMake, taken from the text, compiled, and run where that needs no GPU.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// What of the CUDA runtime's header the guide uses: there is no toolkit where the tests run.
const CUDA_RUNTIME: &str = "\
#ifndef CUDA_RUNTIME_STAND_IN
#define CUDA_RUNTIME_STAND_IN
#include <stddef.h>
typedef struct CUstream_st *cudaStream_t;
typedef struct CUgraph_st *cudaGraph_t;
typedef enum { cudaSuccess = 0 } cudaError_t;
typedef enum { cudaStreamCaptureModeThreadLocal = 1 } cudaStreamCaptureMode;
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaMalloc(void **memory, size_t bytes);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
#endif
";

/// The three best of the program's map.
const PRINTED: &str = "3 tokens: 1 4 7\n";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The guide's blocks of `language`, in their order.
fn blocks(language: &str) -> Result<Vec<String>, Failed> {
    let text = fs::read_to_string(root().join("docs/linking.md"))?;
    let (mut blocks, mut open) = (Vec::new(), None::<(bool, String)>);
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(name), None) => open = Some((name == language, String::new())),
            (Some(_), Some(_)) => {
                blocks.extend(open.take().filter(|(wanted, _)| *wanted).map(|(_, block)| block))
            }
            (None, Some((_, block))) => *block += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    Ok(blocks)
}

/// The block of the program that runs, or that of the CUDA runtime.
fn c_block(of_runtime: bool) -> Result<String, Failed> {
    let mut found = blocks("c")?.into_iter().filter(|block| block.contains("<cuda_runtime.h>") == of_runtime);
    match (found.next(), found.next()) {
        (Some(block), None) => Ok(block),
        _ => Err("the guide must have one program, and one block for the CUDA runtime".into()),
    }
}

/// Where cargo has put the library that belongs to this test.
fn library_folder() -> Result<PathBuf, Failed> {
    let test = env::current_exe()?;
    let mut folders = test.ancestors().skip(1).take(2);
    let found = folders.find(|folder| folder.join("libdustin_c.so").exists());
    Ok(found.ok_or("libdustin_c.so is not beside the test")?.to_owned())
}

/// Runs `command`; what it prints.
fn output(command: &mut Command) -> Result<String, Failed> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(text)
}

/// A compiler to which every warning is an error.
fn compiler((name, language): (&str, &[&str])) -> Command {
    let mut compiler = Command::new(name);
    compiler.args(language).args(["-Wall", "-Wextra", "-Werror", "-pedantic"]);
    compiler.arg("-I").arg(root().join("capi/include"));
    compiler
}

const C: (&str, &[&str]) = ("cc", &["-x", "c", "-std=c11"]);
const CPP: (&str, &[&str]) = ("c++", &["-x", "c++", "-std=c++17"]);

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

fn runs(language: (&str, &[&str]), is_static: bool) -> Result<Completion, Failed> {
    if !has(language.0) {
        return Ok(Completion::ignored_with(format!("there is no {}", language.0)));
    }
    let (libraries, folder) = (library_folder()?, tempfile::tempdir()?);
    let (source, program) = (folder.path().join("engine.c"), folder.path().join("engine"));
    fs::write(&source, c_block(false)?)?;
    let mut compile = compiler(language);
    // What follows the source is none: the language is the linker's again.
    compile.arg(&source).args(["-x", "none"]);
    if is_static {
        compile.arg(libraries.join("libdustin_c.a")).args(["-lm", "-lpthread", "-ldl"]);
    } else {
        compile.arg("-L").arg(&libraries).arg("-ldustin_c");
        compile.arg(format!("-Wl,-rpath,{}", libraries.display()));
    }
    output(compile.arg("-o").arg(&program))?;
    match output(&mut Command::new(&program))? {
        text if text == PRINTED => Ok(Completion::Completed),
        text => Err(format!("the program printed {text:?} instead of {PRINTED:?}").into()),
    }
}

fn runtime(language: (&str, &[&str])) -> Result<Completion, Failed> {
    if !has(language.0) {
        return Ok(Completion::ignored_with(format!("there is no {}", language.0)));
    }
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("engine.c");
    fs::write(&source, c_block(true)?)?;
    fs::write(folder.path().join("cuda_runtime.h"), CUDA_RUNTIME)?;
    output(compiler(language).arg("-I").arg(folder.path()).arg("-fsyntax-only").arg(source))?;
    Ok(Completion::Completed)
}

fn cmake() -> Result<Completion, Failed> {
    if !has("cmake") {
        return Ok(Completion::ignored_with("there is no cmake"));
    }
    let (libraries, folder) = (library_folder()?, tempfile::tempdir()?);
    let [lists] = &blocks("cmake")?[..] else { return Err("the guide must have one CMake block".into()) };
    fs::write(folder.path().join("CMakeLists.txt"), lists)?;
    fs::write(folder.path().join("engine.c"), c_block(false)?)?;
    let build = folder.path().join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(folder.path()).arg("-B").arg(&build);
    configure.arg(format!("-DDUSTIN={}", root().display()));
    output(configure.arg(format!("-DDUSTIN_LIBRARIES={}", libraries.display())))?;
    output(Command::new("cmake").arg("--build").arg(&build))?;
    match output(&mut Command::new(build.join("engine")))? {
        text if text == PRINTED => Ok(Completion::Completed),
        text => Err(format!("the program printed {text:?} instead of {PRINTED:?}").into()),
    }
}

fn main() -> ExitCode {
    let trial = Trial::ignorable_test::<fn() -> Result<Completion, Failed>>;
    let trials = vec![
        trial("the_guides_program_runs_with_the_shared_library", || runs(C, false)),
        trial("the_guides_program_runs_with_the_static_library", || runs(C, true)),
        trial("the_guides_program_runs_as_cpp17", || runs(CPP, false)),
        trial("the_guides_calls_beside_the_cuda_runtime_compile_as_c11", || runtime(C)),
        trial("the_guides_calls_beside_the_cuda_runtime_compile_as_cpp17", || runtime(CPP)),
        trial("the_guides_cmake_project_builds_and_runs", cmake),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
