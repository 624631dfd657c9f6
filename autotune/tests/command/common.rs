//! Runs the command as a user does.

use std::{
    path::Path,
    process::{Command, Output},
};

/// A problem that takes milliseconds, and where its profile goes. How many sequences it has is to be said.
pub(crate) const TINY: [&str; 7] = [
    "--device=cpu",
    "--model=Qwen2.5-0.5B",
    "--context=100",
    "--budget-k=32",
    "--gamma=1",
    "--page-size=4",
    "--output=tiny.toml",
];

/// The command, to be run in `folder`, where no GPU can be seen: what is tested here must be so on every machine.
pub(crate) fn autotune(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autotune"));
    command.current_dir(folder).env("CUDA_VISIBLE_DEVICES", "").env("RUST_BACKTRACE", "1");
    // Tests run side by side, each as if on a machine of its own.
    command.env("DUSTIN_AUTOTUNE_LOCKS", folder);
    command
}

/// What running the command in `folder` with `arguments` gave.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Finished {
    Finished::of(autotune(folder).args(arguments).output().expect("the command can be started"))
}

/// A finished run.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Exit code.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Finished {
    /// The run that gave `output`.
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the command writes UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Asserts that the run failed with `code` and one sentence, without a stack trace, that has all of `words`.
    pub(crate) fn refuses(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing: {self:?}");
        }
        for trace in ["panicked", "stack backtrace", "   0: "] {
            assert!(!self.stderr.contains(trace), "{self:?}");
        }
    }
}

/// What a run printed, as JSON.
pub(crate) fn json(finished: &Finished) -> serde_json::Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

/// A profile and a report give times in whole nanoseconds, but read their decimals with different care.
#[track_caller]
pub(crate) fn assert_same_nanoseconds(profile_us: f64, report_us: &serde_json::Value) {
    let report_us = report_us.as_f64().unwrap();
    assert!((profile_us - report_us).abs() < 1e-6, "{profile_us} in the profile, {report_us} in the report");
}
