//! The guard before the CUDA driver: a driver that is missing, broken, incomplete, too old or without a device gives
//! its typed error, and never a panic.
//!
//! Fake drivers are met by a child process, this binary again.

use std::{fs, path::Path, process::ExitCode};

use dustin::cuda::{Context, SYMBOLS, available};
use dustin_tests::fake_driver::{self, unless};
use libtest_mimic::{Arguments, Failed, Trial};

/// Set for the child, which prints what it meets.
const CHILD: &str = "DUSTIN_TEST_MEET_DRIVER";

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        println!("available: {:?}", available());
        println!("context: {:?}", Context::new(0).map(drop));
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials()).exit_code()
}

fn trials() -> Vec<Trial> {
    let fake = Fake::default();
    let lacking = |symbol: &'static str| {
        let expected = format!("SymbolMissing {{ symbol: {symbol:?} }}");
        let fake = Fake { lacks: Some(symbol), ..fake };
        (format!("a_driver_without_{symbol}_is_refused_by_that_name"), fake, expected)
    };
    let faked = vec![
        lacking("cuGetErrorName"),
        lacking("cuLaunchKernelEx"),
        lacking("cuDriverGetVersion"),
        (
            "a_driver_too_old_for_the_ptx_is_refused_with_both_versions".into(),
            Fake { version: 11_040, ..fake },
            "DriverTooOld { required: CudaVersion(12000), actual: CudaVersion(11040) }".into(),
        ),
        (
            "an_old_driver_is_called_old_rather_than_incomplete".into(),
            Fake { version: 11_040, lacks: Some("cuGraphInstantiateWithFlags"), ..fake },
            "DriverTooOld { required: CudaVersion(12000), actual: CudaVersion(11040) }".into(),
        ),
        ("a_driver_that_counts_no_device_says_so".into(), Fake { devices: 0, ..fake }, "NoDevice".into()),
        (
            "a_driver_that_finds_no_device_when_initialised_says_so".into(),
            Fake { initialised: 100, ..fake },
            "NoDevice".into(),
        ),
        (
            "a_code_newer_than_the_bindings_is_passed_on_as_a_number".into(),
            Fake { initialised: 4321, ..fake },
            r#"Driver { call: "cuInit", code: 4321, name: "an error unknown to the driver" }"#.into(),
        ),
    ];
    let no_compiler = fake_driver::unavailable();
    let mut trials: Vec<Trial> = faked
        .into_iter()
        .map(|(name, fake, expected)| unless(no_compiler, name, move || fake.is_met_with(&expected)))
        .collect();
    // SAFETY: loading runs the initialisers of the library that the system has under the driver's name.
    let has_driver = unsafe { cudarc::driver::sys::is_culib_present() };
    trials.push(unless(
        has_driver.then_some(
            "needs a machine without a driver: the loader finds this one's wherever it looks first",
        ),
        "a_machine_without_a_driver_is_told_so",
        || {
            let directory = tempfile::tempdir()?;
            expect(&meet(directory.path())?, "LibraryMissing")
        },
    ));
    trials.push(unless(
        (!cfg!(target_os = "linux")).then_some("needs LD_LIBRARY_PATH"),
        "a_file_that_is_no_library_is_a_missing_driver",
        || {
            let directory = tempfile::tempdir()?;
            for name in ["libcuda.so.1", "libcuda.so"] {
                fs::write(directory.path().join(name), "not a library")?;
            }
            expect(&meet(directory.path())?, "LibraryMissing")
        },
    ));
    trials
}

/// A driver as it must not be.
#[derive(Clone, Copy)]
struct Fake {
    version: i32,
    devices: i32,
    initialised: i32,
    lacks: Option<&'static str>,
}

impl Default for Fake {
    fn default() -> Self {
        Self { version: 12_040, devices: 1, initialised: 0, lacks: None }
    }
}

impl Fake {
    fn is_met_with(self, expected: &str) -> Result<(), Failed> {
        let directory = fake_driver::build(&self.source())?;
        expect(&meet(directory.path())?, expected)
    }

    fn source(self) -> String {
        let mut source = String::new();
        for &symbol in SYMBOLS.iter().filter(|&&symbol| Some(symbol) != self.lacks) {
            let (arguments, body) = match symbol {
                "cuDriverGetVersion" => ("out: *mut i32", format!("unsafe {{ *out = {} }}; 0", self.version)),
                "cuDeviceGetCount" => ("out: *mut i32", format!("unsafe {{ *out = {} }}; 0", self.devices)),
                "cuInit" => ("_flags: u32", self.initialised.to_string()),
                _ => ("", "1".to_owned()),
            };
            source += &format!(
                "#[unsafe(no_mangle)] pub unsafe extern \"C\" fn {symbol}({arguments}) -> i32 {{ {body} }}\n"
            );
        }
        source
    }
}

/// What a child process prints whose libraries are looked for in `directory` first.
fn meet(directory: &Path) -> Result<String, Failed> {
    fake_driver::meet(directory, &[(CHILD, Path::new("1"))])
}

/// Both lines are the expected error.
fn expect(met: &str, error: &str) -> Result<(), Failed> {
    for operation in ["available", "context"] {
        let line = format!("{operation}: Err({error}");
        if !met.lines().any(|actual| actual.starts_with(&line)) {
            return Err(format!("expected {line:?}, met {met:?}").into());
        }
    }
    Ok(())
}
