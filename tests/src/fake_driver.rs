//! CUDA drivers as they must not be, or as no machine has them: built with `rustc`, and met by a child process, since a process
//! loads its driver once.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use dustin::cuda::SYMBOLS;
use libtest_mimic::{Completion, Failed, Trial};
use tempfile::TempDir;

/// Names the file that a [recording] driver writes to, for it and for the child.
pub const LOG: &str = "DUSTIN_TEST_DRIVER_CALLS";

/// What is behind the name of a [recording] driver's file in that of the file which says what came to which stream: a line each for
/// launches, records of events, and waits.
pub const STREAMS: &str = ".streams";

/// Why fake drivers cannot be built or found here.
#[must_use]
pub fn unavailable() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("needs LD_LIBRARY_PATH");
    }
    let found = Command::new("rustc").arg("--version").output().is_ok_and(|output| output.status.success());
    (!found).then_some("no rustc to build a fake driver with")
}

/// A trial that is skipped for a reason, if there is one.
pub fn unless(
    reason: Option<&'static str>,
    name: impl Into<String>,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match reason {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => test().map(|()| Completion::Completed),
    })
}

/// A directory that holds the library of `source` under the driver's name.
///
/// # Errors
/// It cannot be built.
pub fn build(source: &str) -> Result<TempDir, Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("fake.rs");
    fs::write(&path, source)?;
    let output = Command::new("rustc")
        .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=fake", "-o"])
        .arg(directory.path().join("libcuda.so.1"))
        .arg(&path)
        .output()?;
    if !output.status.success() {
        return Err(format!("rustc: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(directory)
}

/// What this binary prints as a child process, with the variables `set`, whose libraries are looked for in `directory` first.
///
/// # Errors
/// It fails, or complains.
pub fn meet(directory: &Path, set: &[(&str, &Path)]) -> Result<String, Failed> {
    let mut child = Command::new(std::env::current_exe()?);
    child.env("LD_LIBRARY_PATH", directory).envs(set.iter().copied());
    let Output { status, stdout, stderr } = child.output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if !status.success() || !stderr.is_empty() {
        return Err(format!("the child ended with {status}: {stdout}{stderr}").into());
    }
    Ok(stdout.into_owned())
}

/// A driver of one GPU that takes down what is called and does nothing.
#[must_use]
pub fn recording() -> String {
    let head = format!(
        r#"
use std::{{io::Write, sync::atomic::{{AtomicU64, Ordering}}}};
static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
fn take_down(name: &str) {{
    let path = std::env::var_os("{LOG}").unwrap();
    let mut log = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    writeln!(log, "{{name}}").unwrap();
}}
/// What comes to a stream, in order, in a file beside.
fn take_down_stream(what: &str, stream: u64) {{
    let mut path = std::env::var_os("{LOG}").unwrap();
    path.push("{STREAMS}");
    let mut log = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(log, "{{what}}@{{stream}}").unwrap();
}}
/// Handles and addresses are numbers that nobody else has.
fn fresh(bytes: u64) -> u64 {{ NEXT.fetch_add((bytes | 255) + 1, Ordering::Relaxed) }}
"#
    );
    let functions = SYMBOLS.iter().map(|&symbol| {
        let (arguments, body) = match symbol {
            "cuDriverGetVersion" => ("out: *mut i32", "unsafe { *out = 12040 }"),
            "cuDeviceGetCount" | "cuOccupancyMaxActiveBlocksPerMultiprocessor" => {
                ("out: *mut i32", "unsafe { *out = 1 }")
            }
            "cuDeviceGet" | "cuCtxGetDevice" | "cuFuncGetAttribute" => {
                ("out: *mut i32", "unsafe { *out = 0 }")
            }
            // Compute capability 9.0, 132 multiprocessors, an H200's shared memory.
            "cuDeviceGetAttribute" => (
                "out: *mut i32, attribute: i32",
                "unsafe { *out = match attribute { 75 => 9, 76 => 0, 16 => 132, 97 => 232448, _ => 1024 } }",
            ),
            "cuDeviceGetName" | "cuDeviceGetPCIBusId" => ("out: *mut u8", "unsafe { *out = 0 }"),
            // A launch's stream stands behind seven numbers of 32 bits, at 32 bytes.
            "cuLaunchKernelEx" => {
                ("config: *const u64", "take_down_stream(\"launch\", unsafe { *config.add(4) })")
            }
            "cuEventRecord" => ("_event: u64, stream: u64", "take_down_stream(\"record\", stream)"),
            "cuStreamWaitEvent" => ("stream: u64", "take_down_stream(\"wait\", stream)"),
            "cuMemAlloc_v2" => ("out: *mut u64, bytes: u64", "unsafe { *out = fresh(bytes) }"),
            "cuStreamEndCapture" => ("_stream: u64, out: *mut u64", "unsafe { *out = fresh(0) }"),
            "cuDevicePrimaryCtxRetain"
            | "cuStreamCreate"
            | "cuEventCreate"
            | "cuModuleLoadDataEx"
            | "cuModuleGetFunction"
            | "cuDeviceTotalMem_v2"
            | "cuGraphInstantiateWithFlags" => ("out: *mut u64", "unsafe { *out = fresh(0) }"),
            _ => ("", ""),
        };
        format!(
            "#[unsafe(no_mangle)] pub unsafe extern \"C\" fn {symbol}({arguments}) -> i32 {{ take_down(\"{symbol}\"); {body}; 0 }}\n"
        )
    });
    head + &functions.collect::<String>()
}
