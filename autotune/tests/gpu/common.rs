//! What the tests on a GPU have in common: the command, its answers, and what a machine without a GPU means.

use std::{
    env,
    path::Path,
    process::{Command, Output},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

/// There is one GPU, and one tuner of it at a time.
pub(crate) fn one_at_a_time() -> Arguments {
    Arguments { test_threads: Some(1), ..Arguments::from_args() }
}

pub(crate) fn trial(name: String, test: impl FnOnce() -> Result<(), String> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        let folder = tempfile::tempdir()?;
        let mut plan = autotune(folder.path());
        let plan = plan.args(["plan", "--device=cuda", "--workload=w1-b1"]).output()?;
        if plan.status.success() {
            return test().map(|()| Completion::Completed).map_err(Failed::from);
        }
        let reason = String::from_utf8_lossy(&plan.stderr).trim().to_owned();
        match env::var("DUSTIN_REQUIRE_GPU") {
            Ok(value) if value != "0" => Err(format!("DUSTIN_REQUIRE_GPU is set, but {reason}").into()),
            _ => Ok(Completion::ignored_with(reason)),
        }
    })
}

pub(crate) fn autotune(folder: &Path) -> Command {
    // In a bundle the command lies elsewhere than where it was built.
    let built = || env!("CARGO_BIN_EXE_autotune").into();
    let mut command = Command::new(env::var_os("DUSTIN_AUTOTUNE").unwrap_or_else(built));
    command.current_dir(folder);
    command
}

/// A choice as the command names it.
pub(crate) fn spelt(choice: &Value) -> String {
    let mut text = choice["variant"].as_str().unwrap_or_default().to_owned();
    match choice["launch"]["splits"].as_u64() {
        Some(1) => text += ", 1 split",
        Some(splits) => text += &format!(", {splits} splits"),
        None => {}
    }
    if let Some(cluster) = choice["launch"]["cluster"].as_u64() {
        text += &format!(", clusters of {cluster}");
    }
    text
}

/// What a run that must have succeeded says.
pub(crate) fn report(output: &Output) -> Result<Value, String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}: {errors}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {errors}"))
}

pub(crate) fn require(is_so: bool, otherwise: &Value) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(otherwise.to_string()) }
}
